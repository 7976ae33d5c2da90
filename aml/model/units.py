"""Sizes in units that read well, and numbers of things."""

from __future__ import annotations


def size(octets: float) -> str:
    """Bytes in binary units: ``512 B``, ``1.5 KiB``, ``20.0 MiB``."""
    amount = float(octets)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{octets:.0f} B" if unit == "B" else f"{amount:,.1f} {unit}"


def count(number: int, noun: str) -> str:
    """``1 record``, ``2,000 records``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
