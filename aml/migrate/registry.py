"""Stand-in."""

from __future__ import annotations

VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "2.0.0")
