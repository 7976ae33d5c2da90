"""What somebody who means harm, or a second program in the wrong moment, can do to backups and restores."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import PROJECT, aml, aml_child, kept, old
from tests.contract.backing_up import OTHER, at, backed_up, create_backup, data_of, ids_in, project_in
from tests.support.stores import make_store

# --- one repository, two stores


def test_latest_in_a_shared_repository_is_not_what_another_store_held(tmp_path: Path) -> None:
    one, other, shared = project_in(tmp_path / "one"), project_in(tmp_path / "other"), str(tmp_path / "shared")
    create_backup(one, "--repository", shared)
    (other / ".loom/memory/alpha/patterns.json").write_bytes(OTHER)
    create_backup(other, "--repository", shared)
    answer = aml(one, "backup", "restore", "latest", "--yes", "--repository", shared)
    assert (one / ".loom/memory/alpha/patterns.json").read_bytes() != OTHER, answer.out


def test_a_rotation_keeps_the_newest_backup_of_each_store(tmp_path: Path) -> None:
    one, other, shared = project_in(tmp_path / "one"), project_in(tmp_path / "other"), str(tmp_path / "shared")
    first = create_backup(one, "--repository", shared)
    create_backup(other, "--repository", shared, now=at(days=1))
    aml(other, "backup", "rotate", "--keep-last", "1", "--yes", "--repository", shared, now=at(days=2))
    assert first in [line["id"] for line in data_of(one, "list", "--repository", shared)["backups"]]


# --- what is called done


def test_a_backup_that_is_called_done_can_be_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aml.repository.reader.MAX_LISTING_BYTES", 20_000)
    project = project_in(tmp_path / "project")
    for number in range(200):
        (project / f".loom/memory/alpha/{number}.txt").write_bytes(b"x")
    made = aml(project, "backup", "create").status
    done = aml(project, "backup", "restore", "latest", "--target", str(tmp_path / "target")).status
    assert made != 0 or done == 0


def test_one_file_too_large_for_the_memory_is_unread_and_no_traceback(tmp_path: Path) -> None:
    project = project_in(tmp_path / "project")
    with open(project / ".loom/memory/alpha/huge.bin", "wb") as stream:
        stream.truncate(8 << 30)
    done = subprocess.run(
        [sys.executable, "-m", "aml", "backup", "create"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)),
        capture_output=True,
        timeout=60,
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 3)


def test_archives_of_an_agent_expire_by_their_own_age(tmp_path: Path) -> None:
    records = [kept("k1"), kept("k2"), kept("k3"), kept("k4"), old("o1")]
    make_store(tmp_path, {"bot-20200101T000000-0001-abcd": {"patterns": records}})
    run = aml(tmp_path, "prune", "--yes", "--json").envelope["data"]["run"]
    aml(tmp_path, "backup", "rotate", "--yes", now=at(days=1))
    assert aml(tmp_path, "prune", "undo", run, now=at(days=1)).status == 0


def test_another_run_takes_no_write_away_from_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, _ = backed_up(tmp_path)
    real, others = os.rename, []

    def rename(source: Path, target: Path) -> None:
        if Path(target).name == "verified.json" and not others:
            others.append(aml_child(project, "prune", "--yes", "--trust-clock").status)
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", rename)
        answer = aml(project, "backup", "verify")
    assert others == [0]
    assert "not written down" not in answer.err


# --- places that AML needs for itself


@pytest.mark.parametrize("inside", ["restore", "runs", "."])
def test_a_repository_in_the_folder_of_the_ledger_is_refused(tmp_path: Path, inside: str) -> None:
    project = project_in(tmp_path)
    assert aml(project, "backup", "create", "--repository", f".loom/memory.aml/{inside}").status == 2


def test_a_target_in_the_folder_of_the_ledger_is_refused(tmp_path: Path) -> None:
    project, _ = backed_up(tmp_path)
    target = ".loom/memory.aml/restore/mine"
    assert aml(project, "backup", "restore", "latest", "--target", target).status == 2


# --- hostile notes and manifests

DEEP = b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("verified.json", b'{"a":' + DEEP + b"}"),
        ("verified.json", b'{"ID":{"damaged_chunks":["zz"]}}'),
        ("operations.json", DEEP),
    ],
)
def test_a_note_of_any_content_stops_no_backup(tmp_path: Path, name: str, data: bytes) -> None:
    project, _ = backed_up(tmp_path)
    identity = json.loads((project / ".loom/memory-backup/repository.json").read_bytes())["id"]
    (project / ".loom/memory.aml" / name).write_bytes(data.replace(b"ID", identity.encode()))
    assert aml(project, "backup", "create").status == 0


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", None])
def test_one_manifest_of_any_content_hides_no_other(tmp_path: Path, time: str | None) -> None:
    project, _ = backed_up(tmp_path)
    folder = project / ".loom/memory-backup/snapshots"
    manifest = json.loads(gzip.decompress(next(folder.iterdir()).read_bytes()))
    data = DEEP if time is None else json.dumps(manifest | {"time": time}).encode()
    (folder / "20250101T000000.000000Z-00000000.json.gz").write_bytes(gzip.compress(data))
    assert len(ids_in(project)) == 1
    assert aml(project, "backup", "create").status == 0


def test_verify_finds_what_a_restore_would_refuse(tmp_path: Path) -> None:
    project, _ = backed_up(tmp_path)
    path = next((project / ".loom/memory-backup/snapshots").iterdir())
    manifest = json.loads(gzip.decompress(path.read_bytes()))
    next(one for one in manifest["listings"] if one["agent"] == "alpha")["agent"] = "beta"
    data = json.dumps(manifest).encode()
    path.unlink()
    name = f"{path.name.partition('-')[0]}-{hashlib.sha256(data).hexdigest()[:8]}.json.gz"
    path.with_name(name).write_bytes(gzip.compress(data))
    assert aml(project, "backup", "restore", "latest", "--dry-run").status == 12
    assert aml(project, "backup", "verify").status == 12


# --- a store that is not there


def test_cron_says_that_a_store_has_become_empty(tmp_path: Path) -> None:
    project, memory = backed_up(tmp_path)
    memory.rename(tmp_path / "unmounted")
    memory.mkdir()
    answer = aml(project, "backup", "auto", now=at(days=1))
    assert answer.status != 0 or "empty" in answer.err
