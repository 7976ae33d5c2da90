"""What decoding raises for JSON that somebody else may have written."""

from __future__ import annotations

import msgspec

#: Wrong types and syntax; bytes that are no text, or names that are not hex; numbers too large; nesting too deep.
UNDECODABLE: tuple[type[Exception], ...] = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
