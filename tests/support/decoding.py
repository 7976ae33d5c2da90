"""How many records are decoded, counted where bytes go into any decoder of JSON that the program has.

Each record of the store carries ``MARK`` once, and nothing else does: as often as it stands in what a decoder gets, so
many records are decoded. A decoder that only tells where the elements are, or that a text is whole, is counted apart.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import aml

#: The name of a key.
MARK = "x_counted"
_MARK = MARK.encode()


@dataclass
class Records:
    """How many records were decoded, and how many more only found among the others or looked through."""

    decoded: int = 0
    found: int = 0


class _Counting:
    """A decoder that counts what it gets."""

    def __init__(self, real: Any, records: Records) -> None:
        self._real = real
        self._records = records

    def decode(self, text: Any) -> Any:
        _count(self._records, text, self._real.type)
        return self._real.decode(text)


def _count(records: Records, text: Any, kind: Any) -> None:
    """``kind`` is what the decoder makes of the text; it counts whether it can or not."""
    many = text.count(MARK) if isinstance(text, str) else bytes(text).count(_MARK)
    if kind in (msgspec.Raw, list[msgspec.Raw]):
        records.found += many
    else:
        records.decoded += many


@contextmanager
def counted_records() -> Iterator[Records]:
    """Count what this process decodes until the block ends; all threads together, children not."""
    for module in pkgutil.walk_packages(aml.__path__, "aml."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    records = Records()
    modules = [module for name, module in sys.modules.items() if name.startswith("aml.")]
    caches = {value for module in modules for value in vars(module).values() if hasattr(value, "cache_clear")}
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            _stand_in(patch, vars(module), records)
        _patch_functions(patch, records)
        try:
            # those that are made when they are needed are made anew: to be counted, and then not to be
            for one in caches:
                one.cache_clear()
            yield records
        finally:
            for one in caches:
                one.cache_clear()


def _stand_in(patch: pytest.MonkeyPatch, names: dict[str, Any], records: Records) -> None:
    """For each decoder that a module has, also one in a mapping."""
    for name, value in list(names.items()):
        if isinstance(value, msgspec.json.Decoder):
            patch.setitem(names, name, _Counting(value, records))
        elif isinstance(value, dict) and not name.startswith("__"):
            _stand_in(patch, value, records)


def _patch_functions(patch: pytest.MonkeyPatch, records: Records) -> None:
    decoder, decode, loads = msgspec.json.Decoder, msgspec.json.decode, json.loads

    def counted_decode(text: Any, **keywords: Any) -> Any:
        _count(records, text, keywords.get("type"))
        return decode(text, **keywords)

    def counted_loads(text: Any, **keywords: Any) -> Any:
        _count(records, text, None)
        return loads(text, **keywords)

    patch.setattr(msgspec.json, "Decoder", lambda *args, **keywords: _Counting(decoder(*args, **keywords), records))
    patch.setattr(msgspec.json, "decode", counted_decode)
    patch.setattr(json, "loads", counted_loads)
