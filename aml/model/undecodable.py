"""What JSON cannot hold, and what decoding raises for JSON that somebody else may have written."""

from __future__ import annotations

from typing import Any

import msgspec

#: Wrong types and syntax; bytes that are no text, or names that are not hex; numbers too large; nesting too deep.
UNDECODABLE: tuple[type[Exception], ...] = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)


def encodable(data: Any) -> Any:
    """Builtin data in which texts that are no UTF-8, such as an odd file name, show their bytes by escapes."""
    if isinstance(data, str):
        return data.encode(errors="backslashreplace").decode()
    if isinstance(data, dict):
        return {encodable(key): encodable(value) for key, value in data.items()}
    return [encodable(one) for one in data] if isinstance(data, (list, tuple)) else data
