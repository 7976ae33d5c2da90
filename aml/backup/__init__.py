"""Backups: create, restore, verify, rotate, compare, drill."""
