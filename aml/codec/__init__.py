"""Bytes to records and back, pure: no file is opened here."""
