"""A JSON text of any shape: whether it is whole."""

from __future__ import annotations

import msgspec

from aml.errors import DamagedError
from aml.model.undecodable import UNDECODABLE

_ANY = msgspec.json.Decoder(msgspec.Raw)


def check_document(text: bytes) -> None:
    """Raise DamagedError where ``text`` is not one whole JSON value."""
    try:
        _ANY.decode(text)
    except UNDECODABLE:
        # what Python writes and JSON does not allow, such as NaN, is no damage
        import json

        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise DamagedError(f"it is no whole JSON; what is wrong begins at {place}") from error
        except (ValueError, RecursionError) as error:
            raise DamagedError(f"it is no whole JSON: {error}") from error
