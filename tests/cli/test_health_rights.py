"""``aml monitor health`` of a user whom modes bind: what is closed is told, with what opens it; nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import PROJECT, Answer
from tests.contract.backing_up import give_to_nobody, in_commons, memory_of, project_in, unprivileged
from tests.support.stores import tree_digest

# ---- a user whom modes bind


@pytest.fixture
def commons() -> Iterator[Path]:
    with in_commons(project_in) as folder:
        yield folder


def test_a_read_only_checkout_is_checked_and_nothing_is_written(commons: Path) -> None:
    folders = [commons, *(path for path in commons.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    before = tree_digest(commons)
    for words in (["--no-record"], []):
        answer = unprivileged(commons, "monitor", "health", "--json", *words)
        assert (answer.status, answer.err) == (0, ""), answer.out
        states = {one["name"]: one["state"] for one in answer.envelope["data"]["checks"]}
        assert states["integrity"] == states["schema"] == "ok"
        assert states["permissions"] == states["index"] == ("info" if words else "warning")
        assert "not_run" not in states.values()
        told = answer.envelope["warnings"]
        assert told == [] if words else "what was found is not kept as alerts: " in told[0]
    assert tree_digest(commons) == before
    assert not list(commons.glob(".loom/memory?*"))


@pytest.mark.parametrize(
    ("subject", "mode", "level", "advised"),
    [
        ("beta/patterns.json", 0o200, "error", "chmod u+r"),
        ("beta", 0o000, "error", "chmod u+rx"),
        ("beta", 0o400, "error", "chmod u+rx"),
        ("beta", 0o500, "warning", "chmod u+wx"),
    ],
)
def test_a_missing_right_is_named_with_what_gives_it(
    commons: Path, subject: str, mode: int, level: str, advised: str
) -> None:
    path = memory_of(commons) / subject
    path.chmod(mode)
    answer = unprivileged(commons, "monitor", "health", "--json")
    checks = {one["name"]: one for one in answer.envelope["data"]["checks"]}
    assert checks["permissions"]["state"] == level
    finding = checks["permissions"]["findings"][0]
    assert finding["subject"] == subject
    assert f"{advised} {path}" in finding["advice"]
    assert answer.status == (5 if level == "error" else 0)
    assert checks["integrity"]["state"] == ("ok" if level == "warning" else "error"), "what was not read is not well"
    assert checks["collapse"]["state"] == "ok"
    assert os.geteuid() != 0 or "nobody lacks the right" in finding["advice"]


#: In a name space of its own, so that the mount goes with the shell.
_MOUNTED_READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"'


def test_a_file_system_that_is_mounted_read_only_is_told_once(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    called = ["unshare", "--mount", "sh", "-c", _MOUNTED_READ_ONLY, str(project)]
    try:
        subprocess.run([*called, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount anything")
    before = tree_digest(project)
    words = ["monitor", "health", "--json", "--checks", "permissions,index,integrity"]
    done = subprocess.run(
        [*called, sys.executable, "-m", "aml", *words],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        timeout=60,
    )
    answer = Answer(done.returncode, done.stdout.decode(), done.stderr.decode())
    found = [one for check in answer.envelope["data"]["checks"] for one in check["findings"]]
    assert [(one["check"], one["subject"]) for one in found] == [("permissions", "read-only"), ("index", "kept")]
    assert "chmod" not in answer.out
    assert (answer.status, answer.err) == (0, "")
    assert tree_digest(project) == before


def test_folders_that_are_closed_all_alike_are_one_finding(commons: Path) -> None:
    for name in ("alpha", "beta"):
        (memory_of(commons) / name).chmod(0o500)
    answer = unprivileged(commons, "monitor", "health", "--json", "--checks", "permissions")
    (finding,) = answer.envelope["data"]["checks"][8]["findings"]
    assert (finding["subject"], finding["value"], finding["details"]) == ("agents", 2, ["alpha", "beta"])
    assert f"chmod u+wx {memory_of(commons) / 'alpha'}; and so for the others" in finding["advice"]


def test_state_that_cannot_be_entered_stops_only_what_needs_it(commons: Path) -> None:
    """As for another user who may read the store: files are checked, and what is missing is the right."""
    (commons / ".loom/memory.aml/runs").mkdir(parents=True)
    give_to_nobody(commons)
    (commons / ".loom/memory.aml").chmod(0o000)
    answer = unprivileged(commons, "monitor", "health", "--json", "--no-record")
    checks = {one["name"]: one for one in answer.envelope["data"]["checks"]}
    assert {name for name, one in checks.items() if one["state"] == "not_run"} == {
        "resurrected",
        "backup",
        "verification",
        "drill",
        "runs",
        "clock",
        "collapse",
    }
    assert checks["integrity"]["state"] == checks["caps"]["state"] == "ok"
    for one in checks.values():
        for finding in one["findings"]:
            assert "fault of AML" not in finding["advice"]
            assert "PermissionError" not in finding["message"]
    assert "chmod u+x " in checks["runs"]["findings"][0]["advice"]
    metrics = unprivileged(commons, "monitor", "metrics", "--json", "--no-record")
    assert metrics.status == 3, metrics
    assert metrics.envelope["data"]["metrics"]["counts"]["records"] == 6
