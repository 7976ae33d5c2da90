"""AML's own files, put there by somebody else: refused or ignored, never followed, never waited for."""

from __future__ import annotations

import json
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aml.errors import AmlError, ExitStatus
from tests.cli.running import Answer, aml
from tests.contract.pruning import UNLIMITED, fresh, ids_of, problems, removed_ids, run_prune, run_undo, stale
from tests.support.stores import make_store, read_array, tree_digest

#: Nothing here may wait for a pipe.
pytestmark = pytest.mark.timeout(20)


def _store(tmp_path: Path) -> Path:
    agents = {name: {"patterns": [stale(f"{name}-s"), fresh(f"{name}-f")]} for name in ("alpha", "beta")}
    memory = make_store(tmp_path, agents)
    (memory.with_name("memory.aml") / "runs").mkdir(parents=True)
    return memory


def _state(memory: Path) -> Path:
    return memory.with_name("memory.aml")


def _note_lock(memory: Path, lock: str, mtime_ns: int) -> None:
    """A line as a run writes it that means to hold a lock."""
    with (_state(memory) / "locks.jsonl").open("a", encoding="utf-8") as notes:
        notes.write(json.dumps({"lock": lock, "mtime_ns": mtime_ns}) + "\n")


# ---- links


@pytest.mark.parametrize("target", ["a record file", "a file elsewhere", "nothing"])
@pytest.mark.parametrize("name", ["run.lock", "locks.jsonl"])
def test_a_link_in_place_of_a_state_file_is_not_followed(tmp_path: Path, name: str, target: str) -> None:
    memory = _store(tmp_path)
    victims = {"a record file": memory / "alpha/patterns.json", "a file elsewhere": tmp_path / "mine.txt"}
    victim = victims.get(target, tmp_path / "missing")
    if target == "a file elsewhere":
        victim.write_text("precious\n", encoding="utf-8")
    (_state(memory) / name).symlink_to(victim)
    before = tree_digest(memory), victim.read_bytes() if victim.exists() else None
    with pytest.raises(AmlError, match=name):
        run_prune(memory, max_loss=UNLIMITED)
    assert (tree_digest(memory), victim.read_bytes() if victim.exists() else None) == before
    assert (_state(memory) / name).is_symlink()


@pytest.mark.parametrize("name", ["memory.aml", "memory-backup"])
@pytest.mark.parametrize("target", ["memory", "memory/alpha", "memory/new"])
def test_a_folder_of_our_own_that_is_a_link_into_the_store_is_not_written_to(
    tmp_path: Path, name: str, target: str
) -> None:
    agents = {"alpha": {"patterns": [stale("s"), fresh("f")]}}
    memory = make_store(tmp_path, agents)
    memory.with_name(name).symlink_to(target)
    before = tree_digest(memory)
    for words in (("monitor", "health"), ("monitor", "metrics"), ("backup", "create"), ("prune",)):
        answer = aml(tmp_path, *words)
        assert (answer.status, f"{name} is a link that leads into the store" in answer.err) == (ExitStatus.USAGE, True)
    assert tree_digest(memory) == before


def test_a_state_that_is_a_link_to_elsewhere_is_kept_there(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("f")]}})
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    memory.with_name("memory.aml").symlink_to(tmp_path / "elsewhere")
    assert aml(tmp_path, "monitor", "health").status == ExitStatus.DONE
    assert (tmp_path / "elsewhere/operations.json").is_file()


# ---- notes about locks


ODD_NAMES = [
    "alpha/a\0b.lock",
    "a\0b",
    "../victim.lock",
    "alpha/../../victim.lock",
    "alpha/sub/victim.lock",
    "../../victim.lock",
    "./victim.lock",
    "victim.lock",
    "/",
    "",
    "..",
    "alpha",
    "alpha/",
    "audit/victim.lock",
    ".hidden/victim.lock",
    "a" * 5000,
    "alpha/" + "a" * 5000 + ".lock",
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: repr(name[:30]))
def test_a_note_that_names_no_lock_of_the_store_is_ignored(tmp_path: Path, name: str) -> None:
    memory = _store(tmp_path)
    places = (tmp_path, memory.parent, memory, *(memory / part for part in ("alpha/sub", "global", ".hidden")))
    victims = [place / "victim.lock" for place in places]
    for victim in victims:
        victim.mkdir(parents=True)
        os.utime(victim, ns=(1_000_000_000, 1_000_000_000))
    _note_lock(memory, name, 1_000_000_000)
    report = run_prune(memory, max_loss=UNLIMITED)
    assert removed_ids(report) == ["alpha-s", "beta-s"]
    assert [victim for victim in victims if not victim.is_dir()] == []


def test_an_absolute_path_among_the_notes_is_ignored(tmp_path: Path) -> None:
    memory = _store(tmp_path)
    victim = tmp_path / "victim.lock"
    victim.mkdir()
    os.utime(victim, ns=(1_000_000_000, 1_000_000_000))
    _note_lock(memory, str(victim), 1_000_000_000)
    run_prune(memory)
    assert victim.is_dir()


@pytest.mark.parametrize(
    "line", [b"[]", b"null", b"7", b'{"lock":5}', b"\xff\xfe", b"[" * 5000, b'{"lock":"alpha/x.lock","mtime_ns":1e400}']
)
def test_a_line_that_is_no_note_is_ignored(tmp_path: Path, line: bytes) -> None:
    memory = _store(tmp_path)
    (_state(memory) / "locks.jsonl").write_bytes(line + b"\n")
    assert removed_ids(run_prune(memory, max_loss=UNLIMITED)) == ["alpha-s", "beta-s"]


def _leave_own_lock(memory: Path, *, with_file: bool) -> Path:
    """A lock of a run that crashed, with a file that a synchroniser put inside."""
    lock = memory / "alpha/patterns.json.lock"
    lock.mkdir()
    if with_file:
        (lock / ".DS_Store").write_bytes(b"")
    _note_lock(memory, "alpha/patterns.json.lock", lock.stat().st_mtime_ns)
    return lock


def test_a_left_over_lock_that_cannot_be_removed_stops_only_its_file(tmp_path: Path) -> None:
    memory = _store(tmp_path)
    lock = _leave_own_lock(memory, with_file=True)
    before = (memory / "alpha/patterns.json").read_bytes()
    report = run_prune(memory, max_loss=UNLIMITED)
    assert report.status is ExitStatus.PARTIAL
    assert set(problems(report)) == {"alpha/patterns"}
    assert any(str(lock) in note for note in report.notes)
    assert (memory / "alpha/patterns.json").read_bytes() == before
    assert ids_of(read_array(memory / "beta/patterns.json")) == {'"beta-f"': 1}
    assert (lock / ".DS_Store").exists()
    undone = run_undo(memory, report.run)
    assert undone.status is ExitStatus.DONE, "an undo of what has nothing to do with it works as well"


def test_a_left_over_lock_that_cannot_be_removed_as_cron_sees_it(tmp_path: Path) -> None:
    memory = _store(tmp_path)
    lock = _leave_own_lock(memory, with_file=True)
    answer = aml(tmp_path, "prune", "--max-loss", "100%", "--lock-timeout", "0.2")
    assert answer.status == 3
    assert str(lock) in answer.err
    again = aml(tmp_path, "prune", "--max-loss", "100%", "--lock-timeout", "0.2")
    assert again.status == 11, "all that is left to do is behind that lock"
    assert str(lock) in again.err
    assert ids_of(read_array(memory / "beta/patterns.json")) == {'"beta-f"': 1}


def test_a_left_over_lock_is_cleared_at_once(tmp_path: Path) -> None:
    memory = _store(tmp_path)
    lock = _leave_own_lock(memory, with_file=False)
    assert removed_ids(run_prune(memory, max_loss=UNLIMITED)) == ["alpha-s", "beta-s"]
    assert not lock.exists()


# ---- what is no regular file


def _every_command(project: Path) -> list[Answer]:
    lines = (["prune"], ["prune", "--dry-run"], ["prune", "history"], ["prune", "undo", "x"], ["config", "show"])
    return [aml(project, *line) for line in lines]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
@pytest.mark.parametrize(
    ("name", "stops"), [("memory.aml/runs/x.json", 4), ("aml.toml", 5), ("memory.aml/locks.jsonl", 1)]
)
def test_what_is_no_file_is_named_and_not_waited_for(
    tmp_path: Path, name: str, stops: int, make: Callable[[Path], None]
) -> None:
    memory = _store(tmp_path)
    make(memory.parent / name)
    before = tree_digest(memory)
    answers = _every_command(tmp_path)
    told = [answer for answer in answers if str(memory.parent / name) in answer.err]
    assert len(told) == stops, [answer.err for answer in answers]
    assert all(answer.status in (1, 2, 12) for answer in told)
    assert tree_digest(memory) == before


def test_a_pipe_in_place_of_the_run_lock_is_not_waited_for(tmp_path: Path) -> None:
    memory = _store(tmp_path)
    os.mkfifo(_state(memory) / "run.lock")
    before = tree_digest(memory)
    answer = aml(tmp_path, "prune")
    assert answer.status == 1
    assert str(_state(memory) / "run.lock") in answer.err
    assert tree_digest(memory) == before


# ---- settings


@pytest.mark.parametrize(
    "text",
    [
        "[prune]\npinned_ids = " + "[" * 5000 + "]" * 5000,
        "[prune]\nmax_loss = " + "9" * 5000,
        "a = " + "{b = " * 3000 + "1" + "}" * 3000,
        ".".join("a" * 5000) + " = 1",
        "[prune]\nwindow_days = 1979-13-41T99:99:99\n",
        "[prune]\nmax_loss = 1e999999\n",
        "\0",
    ],
    ids=["brackets", "digits", "tables", "dotted key", "a date that is none", "a huge exponent", "NUL"],
)
def test_settings_that_no_parser_likes_are_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    memory = _store(tmp_path)
    settings = memory.parent / "aml.toml"
    settings.write_text(text, encoding="utf-8")
    before = tree_digest(memory)
    for words in (["prune"], ["prune", "--dry-run", "--json"], ["config", "show"]):
        answer = aml(tmp_path, *words)
        assert answer.status == 2
        said = answer.envelope["errors"][0]["message"] if "--json" in words else answer.err
        assert str(settings) in said
        assert "Traceback" not in answer.err
    assert tree_digest(memory) == before


def test_settings_that_are_a_link_that_leads_nowhere_are_not_passed_over(tmp_path: Path) -> None:
    memory = _store(tmp_path)
    settings = memory.parent / "aml.toml"
    settings.symlink_to(tmp_path / "not mounted" / "aml.toml")
    before = tree_digest(memory)
    answer = aml(tmp_path, "prune")
    assert (answer.status, str(settings) in answer.err) == (ExitStatus.FAILED, True)
    assert tree_digest(memory) == before


# ---- files that are far too large

on_linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited as Linux does it")

_FOUR_GIB = 1 << 32
#: In memory, where a file may have as many holes as it likes.
_ANY_SIZE = Path("/dev/shm")  # noqa: S108
_LOOKS = (("monitor", "health"), ("monitor", "metrics"), ("monitor", "alerts"), ("prune", "--dry-run"))


@contextmanager
def _little_memory() -> Iterator[None]:
    """Three quarters of a GiB more than there is in use, so that whoever reads more fails at once."""
    in_use = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + (3 << 28), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _make_huge(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.truncate(_FOUR_GIB)


@pytest.mark.skipif(not _ANY_SIZE.is_dir(), reason="no file system that takes files of any size")
def test_a_file_of_the_largest_size_there_is_hides_no_other() -> None:
    with tempfile.TemporaryDirectory(dir=_ANY_SIZE) as folder:
        memory = make_store(Path(folder), {"alpha": {"patterns": [fresh("f")]}})
        with (memory / "alpha" / "holes").open("wb") as stream:
            os.truncate(stream.fileno(), (1 << 63) - 1)
        answer = aml(Path(folder), "backup", "create")
        assert (answer.status, "alpha/holes: " in answer.err) == (ExitStatus.PARTIAL, True)


@on_linux
@on_linux
@pytest.mark.parametrize(
    "name", ["alerts.json", "operations.json", "metrics.jsonl", "verified.json", "index/statistics.json"]
)
def test_a_huge_file_among_the_state_is_not_read(tmp_path: Path, name: str) -> None:
    memory = _store(tmp_path)
    _make_huge(_state(memory) / name)
    with _little_memory():
        answers = [aml(tmp_path, *words) for words in _LOOKS]
    assert not [answer for answer in answers if "enough memory" in answer.err]
    assert [answer.status for answer in answers[1:2]] == [ExitStatus.PARTIAL if name == "operations.json" else 0]


@on_linux
def test_a_huge_settings_file_is_refused(tmp_path: Path) -> None:
    memory = _store(tmp_path)
    _make_huge(memory.parent / "aml.toml")
    with _little_memory():
        answer = aml(tmp_path, "monitor", "health")
    assert answer.status == ExitStatus.FAILED
    assert "aml.toml: it is too large" in answer.err


@on_linux
def test_a_store_file_larger_than_is_read_is_damage_and_hides_no_other(tmp_path: Path) -> None:
    memory = _store(tmp_path)
    _make_huge(memory / "alpha/patterns.json")
    with _little_memory():
        health = aml(tmp_path, "monitor", "health", "--json")
        metrics = aml(tmp_path, "monitor", "metrics", "--json")
        pruned = aml(tmp_path, "prune", "--dry-run")
    checks = {one["name"]: one for one in health.envelope["data"]["checks"]}
    assert [(one["subject"], one["level"]) for one in checks["integrity"]["findings"]] == [
        ("alpha/patterns", "critical")
    ]
    assert health.envelope["data"]["records"] == 2
    assert metrics.envelope["data"]["metrics"]["counts"]["records"] == 2
    assert "store.max_unpacked_mb" in health.out
    assert pruned.status == ExitStatus.DONE
    assert "alpha/patterns: it holds 4,294,967,296 bytes" in pruned.err


def test_too_little_memory_is_told_in_words(tmp_path: Path) -> None:
    memory = _store(tmp_path)
    with (memory / "alpha/patterns.json").open("wb") as stream:
        stream.truncate(1 << 30)
    with _little_memory():
        answer = aml(tmp_path, "prune", "--dry-run")
        health = aml(tmp_path, "monitor", "health", "--checks", "integrity,clock", "--no-record")
    assert answer.status == ExitStatus.FAILED
    assert "there is not enough memory" in answer.err
    assert "integrity: the check could not run: there is not enough memory" in health.out
    assert health.status == ExitStatus.HEALTH_CRITICAL
