"""Sizes in units that read well, and numbers of things."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(octets: float) -> str:
    """Bytes in binary units: ``512 B``, ``1.5 KiB``, ``20.0 MiB``."""
    amount = float(octets)
    for unit in _UNITS:
        if abs(amount) < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{octets:.0f} B" if unit == "B" else f"{amount:,.1f} {unit}"


def count(number: int, noun: str) -> str:
    """``1 record``, ``2,000 records``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
