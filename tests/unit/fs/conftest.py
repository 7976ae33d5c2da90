"""A file to lock."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "patterns.json"
    path.write_text("[]")
    return path
