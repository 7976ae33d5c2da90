"""Compressing in place: no file gets another name, nothing is lost, a dry run is one, twice is once (H23, H25, H45)."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aml.errors import ExitStatus
from tests.cli.running import aml
from tests.contract.backing_up import create_backup, restored
from tests.contract.compressing import aged, all_aged, old_store, packed, reasons, run_compress, texts
from tests.contract.pruning import UNLIMITED, run_prune, run_undo
from tests.support.live_writer import agent_lock
from tests.support.records import pattern
from tests.support.stores import make_store, record_spans, tree_digest, write_array

ALL_RECORD_FILES = [
    f"{agent}/{kind}.json" for agent in ("alpha", "beta") for kind in ("decisions", "patterns", "solutions")
]

#: Reads a file as the agents' runtime does, by Node's own gunzip and by pako: the text of each, unpacked by its magic.
_NODE_CLIENT = """
const fs = require('fs'), path = require('path'), zlib = require('zlib');
const pako = require(path.join(process.env.AML_TEST_NODE_MODULES, 'pako'));
const texts = process.argv.slice(1).map((file) => {
  const data = fs.readFileSync(file);
  if (data[0] !== 0x1f || data[1] !== 0x8b) return [data.toString('utf8'), data.toString('utf8')];
  return [zlib.gunzipSync(data).toString('utf8'), Buffer.from(pako.ungzip(data)).toString('utf8')];
});
process.stdout.write(JSON.stringify(texts));
"""


def test_h23_every_file_keeps_its_name_and_its_text(tmp_path: Path) -> None:
    """H23: compressing renamed files, so that the runtime saw an empty memory."""
    memory = old_store(tmp_path)
    before, names = texts(memory), sorted(tree_digest(memory))
    report = run_compress(memory)
    assert report.status is ExitStatus.DONE
    assert sorted(tree_digest(memory)) == names
    assert texts(memory) == before
    assert packed(memory) == [*ALL_RECORD_FILES, "global/cross-agent.json"]
    assert [gzip.decompress((memory / name).read_bytes()) for name in ALL_RECORD_FILES] == [
        before[name] for name in ALL_RECORD_FILES
    ]


@pytest.mark.node
def test_h23_a_node_client_reads_the_same_as_before(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    write_array(
        memory / "large" / "patterns.json", [pattern(id=f"l{n}", note=os.urandom(900).hex()) for n in range(900)]
    )
    all_aged(memory)
    wanted = [(memory / name).read_text(encoding="utf-8") for name in (*ALL_RECORD_FILES, "large/patterns.json")]
    assert run_compress(memory).status is ExitStatus.DONE
    read = node_reads(*(memory / name for name in (*ALL_RECORD_FILES, "large/patterns.json")))
    assert read == [[text, text] for text in wanted]


def node_reads(*files: Path) -> Any:
    node, modules = shutil.which("node"), os.environ.get("AML_TEST_NODE_MODULES")
    if not (node and modules and (Path(modules) / "pako").is_dir()):
        reason = "node is missing, or AML_TEST_NODE_MODULES names no node_modules with pako"
        assert os.environ.get("AML_REQUIRE_NODE") != "1", reason
        pytest.skip(reason)
    done = subprocess.run([node, "-e", _NODE_CLIENT, *files], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("decompress", [False, True])
def test_h25_a_dry_run_changes_nothing_and_tells_what_the_run_will_do(tmp_path: Path, decompress: bool) -> None:
    """H25: --dry-run of compress compressed."""
    memory = old_store(tmp_path)
    if decompress:
        run_compress(memory)
    before = tree_digest(tmp_path)
    told = run_compress(memory, decompress=decompress, dry_run=True)
    assert tree_digest(tmp_path) == before
    assert decompress or not memory.with_name("memory.aml").exists()
    assert told.run is None
    assert told.counts()["decompressed" if decompress else "compressed"] == 7
    assert run_compress(memory, decompress=decompress).files == told.files


def test_h45_compressing_twice_changes_not_a_byte(tmp_path: Path) -> None:
    """H45: the second compress overwrote the first compressed copy."""
    memory = old_store(tmp_path)
    run_compress(memory)
    first = {path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in memory.rglob("*")}
    digest = tree_digest(memory)
    again = run_compress(memory, age_days=0)
    assert again.status is ExitStatus.DONE
    assert set(reasons(again).values()) == {"done_already"}
    assert tree_digest(memory) == digest
    assert {path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in memory.rglob("*")} == first


def test_decompressing_brings_every_byte_back(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    before = tree_digest(memory)
    run_compress(memory)
    report = run_compress(memory, decompress=True, age_days=0)
    assert report.counts()["decompressed"] == 7
    assert tree_digest(memory) == before


def test_mode_owner_and_attributes_stay_and_no_moment_shows_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = old_store(tmp_path)
    file = memory / "alpha" / "patterns.json"
    file.chmod(0o640)
    mtime_ns, owner = aged(file, 45), (file.stat().st_uid, file.stat().st_gid)
    if os.geteuid() == 0:
        owner = (12_345, 54_321)
        os.chown(file, *owner)
    try:
        os.setxattr(file, "user.note", b"keep me")
    except OSError:
        pytest.skip("the file system has no extended attributes")
    seen: list[int] = []
    rename = os.rename

    def looked_at(source: Any, target: Any) -> None:
        if Path(target) == file:
            seen.append(os.stat(source).st_mtime_ns)
        rename(source, target)

    monkeypatch.setattr(os, "rename", looked_at)
    run_compress(memory)
    found = file.stat()
    assert seen == [mtime_ns] == [found.st_mtime_ns]
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert (found.st_uid, found.st_gid) == owner
    assert os.getxattr(file, "user.note") == b"keep me"


def test_only_files_that_are_old_enough_are_compressed(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    aged(memory / "alpha" / "patterns.json", 29.9)
    aged(memory / "alpha" / "solutions.json", 30.1)
    aged(memory / "beta" / "patterns.json", -5)
    report = run_compress(memory)
    assert reasons(report) == {"alpha/patterns.json": "modified_lately", "beta/patterns.json": "modified_lately"}
    assert "alpha/solutions.json" in packed(memory)
    assert run_compress(memory, age_days=0).counts()["compressed"] == 2


def test_what_would_not_shrink_or_is_empty_stays(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [], "solutions": [pattern()]}})
    (memory / "alpha" / "decisions.json").write_bytes(b"")
    all_aged(memory)
    report = run_compress(memory)
    assert reasons(report) == {"alpha/patterns.json": "would_not_shrink", "alpha/decisions.json": "empty"}
    assert (memory / "alpha" / "patterns.json").read_bytes() == b"[]"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'[{"id": "a"}, {"id": "b"' * 50, "truncated"),
        (b'{"id": "a"}' * 50, "an object stands where"),
        (b"[1]" * 50, "glued together"),
        (b"\x00" * 400, "no JSON"),
    ],
)
def test_h06_what_cannot_be_read_is_reported_and_kept(tmp_path: Path, data: bytes, told: str) -> None:
    memory = old_store(tmp_path)
    file = memory / "beta" / "solutions.json"
    file.write_bytes(data)
    aged(file, 90)
    before = tree_digest(memory)[file.relative_to(memory).as_posix()]
    report = run_compress(memory)
    assert report.status is ExitStatus.PARTIAL
    assert told in reasons(report)["beta/solutions.json"]
    assert tree_digest(memory)["beta/solutions.json"] == before
    assert report.counts()["compressed"] == 6


def test_gzip_data_that_is_damaged_is_not_turned_into_anything(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    run_compress(memory)
    file = memory / "alpha" / "patterns.json"
    data = file.read_bytes()
    file.write_bytes(data[:-5])
    before = tree_digest(memory)["alpha/patterns.json"]
    report = run_compress(memory, agents=("alpha",), kinds=("patterns",), decompress=True)
    assert report.status is ExitStatus.DONE, "it is young"
    report = run_compress(memory, agents=("alpha",), kinds=("patterns",), decompress=True, age_days=0)
    assert report.status is ExitStatus.DAMAGED
    assert "ends too early" in reasons(report)["alpha/patterns.json"]
    assert tree_digest(memory)["alpha/patterns.json"] == before


def test_a_shared_document_that_is_no_json_stays(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    (memory / "global" / "notes.json").write_text("not JSON at all " * 40, encoding="utf-8")
    (memory / "global" / "README.md").write_text("text " * 400, encoding="utf-8")
    all_aged(memory)
    report = run_compress(memory)
    assert "no whole JSON" in reasons(report)["global/notes.json"]
    assert packed(memory) == [*ALL_RECORD_FILES, "global/cross-agent.json"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    outside = tmp_path / "outside"
    shutil.copytree(memory / "alpha", outside)
    shutil.rmtree(memory / "beta")
    (memory / "beta").symlink_to(outside)
    shutil.copytree(memory / "global", tmp_path / "shared")
    shutil.rmtree(memory / "global")
    (memory / "global").symlink_to(tmp_path / "shared")
    (memory / "alpha" / "patterns.json").unlink()
    (memory / "alpha" / "patterns.json").symlink_to(outside / "patterns.json")
    before = tree_digest(outside), tree_digest(tmp_path / "shared")
    report = run_compress(memory)
    assert "a link" in reasons(report)["alpha/patterns.json"]
    assert packed(memory / "alpha") == ["decisions.json", "solutions.json"]
    assert (tree_digest(outside), tree_digest(tmp_path / "shared")) == before


def test_without_leave_only_agents_that_have_a_gzip_file_are_compressed(tmp_path: Path) -> None:
    """A language model that edits its files by hand cannot read gzip."""
    memory = old_store(tmp_path)
    write_array(memory / "beta" / "decisions.json", [pattern()], form="gzip")
    report = run_compress(memory, plain=False)
    assert packed(memory) == ["beta/decisions.json", "beta/patterns.json", "beta/solutions.json"]
    assert report.first_gzip == ()
    assert set(reasons(report).values()) == {"no_gzip_yet", "done_already"}
    assert run_compress(memory).first_gzip == ("alpha", "global")


def test_kinds_and_agents_bound_what_is_touched(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    run_compress(memory, agents=("beta",), kinds=("decisions",))
    assert packed(memory) == ["beta/decisions.json"]
    # the agent has a gzip file now, though of another kind
    run_compress(memory, agents=("beta",), kinds=("patterns",), plain=False)
    assert packed(memory) == ["beta/decisions.json", "beta/patterns.json"]


def test_a_file_that_an_agent_changed_after_the_plan_is_judged_anew(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    file = memory / "alpha" / "patterns.json"
    data = json.dumps([pattern(id="new")] * 9).encode()

    def write(name: str) -> None:
        if name == "alpha/patterns.json":
            file.write_bytes(data)

    report = run_compress(memory, progress=write)
    assert reasons(report) == {"alpha/patterns.json": "modified_lately"}
    assert file.read_bytes() == data


def test_a_file_that_vanished_after_the_plan_is_not_made_anew(tmp_path: Path) -> None:
    memory = old_store(tmp_path)

    def remove(name: str) -> None:
        shutil.rmtree(memory / "beta", ignore_errors=True)

    report = run_compress(memory, progress=remove)
    assert report.status is ExitStatus.DONE
    assert not (memory / "beta").exists()


def test_h29_a_locked_file_waits_and_the_others_are_done(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    before = tree_digest(memory)["alpha/patterns.json"]
    with agent_lock(memory / "alpha" / "patterns.json"):
        report = run_compress(memory)
        assert report.status is ExitStatus.PARTIAL
        assert list(reasons(report)) == ["alpha/patterns.json"]
        again = run_compress(memory)
    assert again.status is ExitStatus.LOCKED
    assert tree_digest(memory)["alpha/patterns.json"] == before
    assert run_compress(memory).status is ExitStatus.DONE


def test_prune_and_undo_work_on_compressed_files_as_before(tmp_path: Path) -> None:
    records = [pattern(id=f"p{number}", unused_days=200 if number % 2 else 2) for number in range(10)]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    all_aged(memory)
    file = memory / "alpha" / "patterns.json"
    spans = record_spans(file)
    run_compress(memory)
    pruned = run_prune(memory, max_loss=UNLIMITED)
    assert pruned.total("removed") == 5
    assert packed(memory) == ["alpha/patterns.json"]
    run_undo(memory, pruned.run)
    assert record_spans(file) == spans


def test_h24_an_incremental_backup_takes_what_was_compressed_since(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    first = create_backup(tmp_path)
    run_compress(memory)
    made = aml(tmp_path, "backup", "create", "--json").envelope["data"]
    assert (made["parent"], made["changed"]) == (first, 7)
    assert made["added_bytes"] < 10_000, "what the files say is known already"
    plain = restored(tmp_path, first, tmp_path / "plain")
    assert restored(tmp_path, made["id"], tmp_path / "back") == plain
    assert packed(tmp_path / "back") == packed(memory)
    assert packed(tmp_path / "plain") == []
    assert aml(tmp_path, "backup", "verify", "--all").status == 0
