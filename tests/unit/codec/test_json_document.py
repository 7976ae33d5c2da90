"""A text is told to be one whole JSON value, or where it is not."""

from __future__ import annotations

import pytest

from aml.codec.json_document import check_document
from aml.errors import DamagedError


@pytest.mark.parametrize("text", [b"null", b' {"a": [1, {}]} \n', b'"x"', b'{"a": NaN}', b'["\\ud83d"]', b"1e999"])
def test_what_is_whole_passes(text: bytes) -> None:
    check_document(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "line 1, column 1"),
        (b'{"a": 1,\n "b": }', "line 2, column 7"),
        (b"[1, 2", "line 1, column 6"),
        (b"[1] [2]", "line 1, column 5"),
        (b'["\xff"', "it is no whole JSON"),
        (b"[" * 200_000, "it is no whole JSON: "),
    ],
)
def test_what_is_not_whole_is_told_with_its_place(text: bytes, told: str) -> None:
    with pytest.raises(DamagedError, match=told):
        check_document(text)
