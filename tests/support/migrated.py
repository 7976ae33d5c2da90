"""Single records taken from one schema version to another."""

from __future__ import annotations

from aml.migrate.moving import move_record
from aml.migrate.registry import way


def migrate_record(raw: bytes, kind: str, version: str, target: str) -> bytes:
    """One record (of a kind named as its file is) from the version that it has to another, step by step.

    Raises BadRecordError where it cannot be changed, or the way back would not give it back.
    """
    for move in way(version, target):
        raw = move_record(raw, kind, move)
    return raw
