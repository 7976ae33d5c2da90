"""Figures and checks are the same whatever schema version the records have (H20)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import aml
from tests.contract.answering import without
from tests.contract.moving import migrated
from tests.support.schema_versions import VERSIONS, versioned_store

pytest.importorskip("aml.monitor.health")

#: Sizes and times; what says the versions themselves; what is not of records.
_MUST_DIFFER = {
    "average_record_bytes",
    "backups",
    "bytes",
    "compression_ratio",
    "growth",
    "history",
    "index",
    "kept_bytes",
    "operations",
    "records_bytes",
    "schemas",
    "seconds",
    "size",
    "state_bytes",
    "store",
    "unpacked_bytes",
}
#: What the runtime can read is a matter of the version, what there is room for one of sizes; a migration makes a
#: backup.
_OF_OTHERS = {"runtime_readable", "schema", "limits", "disk_space", "backup", "verification", "drill", "same_disk"}


def monitored(project: Path) -> dict[str, Any]:
    """What is measured and checked, but for what has to differ."""
    metrics = aml(project, "monitor", "metrics", "--json").envelope["data"]["metrics"]
    checks = aml(project, "monitor", "health", "--json").envelope["data"]["checks"]
    found = {check["name"]: without(check, _MUST_DIFFER) for check in checks if check["name"] not in _OF_OTHERS}
    return {"metrics": without(metrics, _MUST_DIFFER), **found}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    project = tmp_path_factory.mktemp("oldest")
    versioned_store(project, "1.0.0")
    return monitored(project)


@pytest.mark.parametrize("version", [*VERSIONS[1:], "mixed"])
def test_h20_records_written_in_any_version_are_measured_alike(
    tmp_path: Path, expected: dict[str, Any], version: str
) -> None:
    versioned_store(tmp_path, version)
    found = monitored(tmp_path)
    assert {name for name in expected if expected[name] != found[name]} == set()


def test_h20_migrated_records_are_measured_alike(tmp_path: Path, expected: dict[str, Any]) -> None:
    memory = versioned_store(tmp_path, "mixed")
    for way, version in (("up", "2.0.0"), ("down", "1.0.0")):
        migrated(tmp_path, way, "--to", version)
        for leftover in memory.parent.glob("memory.aml/metrics*"):
            leftover.unlink()
        found = monitored(tmp_path)
        assert {name for name in expected if expected[name] != found[name]} == set()
