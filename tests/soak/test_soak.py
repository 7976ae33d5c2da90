"""The soak as a test, for who has ten minutes: ``pytest -m soak``; AML_SOAK_MINUTES says how many."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.soak.soak import soak

_MINUTES = float(os.environ.get("AML_SOAK_MINUTES", "10"))


@pytest.mark.soak
@pytest.mark.timeout(60 * _MINUTES + 600)
def test_h30_maintenance_of_all_kinds_loses_no_acknowledged_write(tmp_path: Path) -> None:
    seen = soak(tmp_path, _MINUTES)
    print("\n".join(seen.lines()))
    assert not seen.problems, "\n".join(seen.problems)
