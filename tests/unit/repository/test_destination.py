"""The contract of a destination, kept by each of them; and what the local folder keeps besides."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from aml.errors import AmlError, DamagedError, FileAccessError, LockedError, NotFoundError, UsageError
from aml.repository.destination import Destination
from aml.repository.local_folder import LocalFolder
from tests.support.destinations import InMemory

KEY = "packs/ab/abcd.gz"


@pytest.fixture(params=["folder", "memory"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Destination:
    made: Destination = LocalFolder(tmp_path / "deep" / "repository") if request.param == "folder" else InMemory()
    made.prepare()
    made.prepare()
    return made


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    made = LocalFolder(tmp_path / "repository")
    made.prepare()
    return made


def test_what_is_put_is_there(destination: Destination) -> None:
    destination.put(KEY, b"0123456789")
    destination.put("repository.json", b"")
    assert destination.get(KEY) == b"0123456789"
    assert destination.get("repository.json") == b""
    assert destination.get_range(KEY, 3, 4) == b"3456"
    assert destination.get_range(KEY, 10, 0) == b""


def test_a_second_put_replaces(destination: Destination) -> None:
    destination.put(KEY, b"old and long")
    destination.put(KEY, b"new")
    assert destination.get(KEY) == b"new"
    assert [entry.size for entry in destination.entries("packs/")] == [3]


def test_a_missing_key(destination: Destination) -> None:
    for key in (KEY, "packs", "a/b/c/d"):
        with pytest.raises(NotFoundError, match=key):
            destination.get(key)
        with pytest.raises(NotFoundError):
            destination.get_range(key, 0, 1)
        destination.delete(key)
    assert destination.entries("packs/") == []
    assert destination.entries("packs/ab/ab") == []


def test_a_key_below_a_value_is_missing_and_cannot_be_put(destination: Destination) -> None:
    destination.put("a", b"x")
    with pytest.raises(NotFoundError):
        destination.get("a/b")
    with pytest.raises(FileAccessError):
        destination.put("a/b", b"y")


def test_bounds_are_checked_before_memory_is_taken(destination: Destination) -> None:
    destination.put(KEY, b"0123456789")
    with pytest.raises(DamagedError, match="more than 9 bytes"):
        destination.get(KEY, limit=9)
    assert len(destination.get(KEY, limit=10)) == 10
    with pytest.raises(DamagedError, match="cut short"):
        destination.get_range(KEY, 8, 3)
    with pytest.raises(DamagedError):
        destination.get_range(KEY, 0, 1 << 60)


def test_entries_are_sorted_and_told_by_prefix(destination: Destination) -> None:
    for key in ("index/b", "index/a", "packs/zz/1", "packs/aa/2", "packs/ab/3", "packsize", "lone"):
        destination.put(key, key.encode())
    names = [entry.key for entry in destination.entries("packs/")]
    assert names == ["packs/aa/2", "packs/ab/3", "packs/zz/1"]
    assert [entry.key for entry in destination.entries("packs/a")] == ["packs/aa/2", "packs/ab/3"]
    assert [entry.key for entry in destination.entries("packs/ab/3")] == ["packs/ab/3"]
    assert [entry.key for entry in destination.entries("")] == sorted(
        [*names, "index/a", "index/b", "lone", "packsize"]
    )
    assert {entry.key: entry.size for entry in destination.entries("index/")} == {"index/a": 7, "index/b": 7}


def test_what_is_deleted_is_gone(destination: Destination) -> None:
    destination.put(KEY, b"x")
    destination.put("packs/ab/other", b"y")
    destination.delete(KEY)
    destination.delete(KEY)
    assert [entry.key for entry in destination.entries("packs/")] == ["packs/ab/other"]


@pytest.mark.parametrize(
    "key",
    ["", "/", "/etc/passwd", "..", "../x", "a/../b", "a//b", "a/", "./a", ".hidden", "a/.b", "a\\b", "a\0", "a\n"],
)
def test_odd_keys_are_refused(destination: Destination, key: str) -> None:
    with pytest.raises(UsageError):
        destination.put(key, b"x")
    with pytest.raises(UsageError):
        destination.get(key)
    with pytest.raises(UsageError):
        destination.get_range(key, 0, 1)
    with pytest.raises(UsageError):
        destination.delete(key)


@pytest.mark.parametrize("prefix", ["/", "../", "a/../", "/packs"])
def test_odd_prefixes_are_refused(destination: Destination, prefix: str) -> None:
    with pytest.raises(UsageError):
        destination.entries(prefix)


def test_readers_share_and_writers_do_not(destination: Destination) -> None:
    def held(*, exclusive: bool) -> bool:
        try:
            with destination.hold(exclusive=exclusive, purpose="test", timeout=0):
                return True
        except LockedError:
            return False

    with destination.hold(exclusive=False, purpose="restore", timeout=0):
        assert held(exclusive=False)
        assert not held(exclusive=True)
    with destination.hold(exclusive=True, purpose="backup", timeout=0):
        assert not held(exclusive=False)
        assert not held(exclusive=True)
    assert held(exclusive=True)


def test_a_lock_is_released_by_an_error(destination: Destination) -> None:
    with pytest.raises(KeyError), destination.hold(exclusive=True, purpose="backup", timeout=0):
        raise KeyError
    with destination.hold(exclusive=True, purpose="backup", timeout=0):
        pass


def test_a_folder_is_private_and_out_of_version_control(folder: LocalFolder) -> None:
    folder.put(KEY, b"x")
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in [folder.root, *folder.root.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert (folder.root / ".gitignore").read_bytes().splitlines()[-1] == b"*"


def test_a_gitignore_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    LocalFolder(tmp_path).prepare()
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


def test_no_link_is_crossed(folder: LocalFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "ab").mkdir(parents=True)
    (outside / "ab" / "abcd.gz").write_bytes(b"secret")
    (folder.root / "packs").symlink_to(outside)
    (folder.root / "repository.json").symlink_to(outside / "ab" / "abcd.gz")
    for key in (KEY, "repository.json"):
        for call in (
            folder.get,
            folder.delete,
            lambda key: folder.put(key, b"x"),
            lambda key: folder.get_range(key, 0, 1),
        ):
            with pytest.raises(AmlError, match="link"):
                call(key)
    assert folder.entries("") == []
    with pytest.raises(DamagedError, match="link"):
        folder.entries("packs/")
    assert (outside / "ab" / "abcd.gz").read_bytes() == b"secret"


def test_strays_are_removed_where_only_the_repository_writes(folder: LocalFolder) -> None:
    folder.put(KEY, b"x")
    stray = folder.root / "packs" / "ab" / ".abcd.gz.aml-tmp-01234567"
    foreign = folder.root / "quarantine" / ".q.aml-tmp-01234567"
    foreign.parent.mkdir()
    for path in (stray, foreign):
        path.write_bytes(b"half")
    assert folder.remove_strays() == 1
    assert not stray.exists()
    assert foreign.exists()
    assert folder.get(KEY) == b"x"


def test_a_pipe_is_no_value_and_nobody_hangs(folder: LocalFolder) -> None:
    os.mkfifo(folder.root / "pipe")
    with pytest.raises(DamagedError, match="regular"):
        folder.get("pipe")
    assert folder.entries("") == []


_HOLDER = """
import sys
from functools import partial
from pathlib import Path
from aml.repository.local_folder import LocalFolder
with LocalFolder(Path(sys.argv[1])).hold(exclusive=True, purpose="rotate", timeout=0):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_names_its_holder_and_dies_with_it(folder: LocalFolder) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with (
            pytest.raises(LockedError, match=rf"aml rotate \(pid {process.pid} "),
            folder.hold(exclusive=False, purpose="restore", timeout=0.2),
        ):
            pass
        process.kill()
        process.wait()
        with folder.hold(exclusive=True, purpose="backup", timeout=5):
            pass


def test_a_pipe_in_place_of_the_lock_is_not_waited_for(folder: LocalFolder) -> None:
    os.mkfifo(folder.root / "lock")
    for exclusive in (False, True):
        with pytest.raises(FileAccessError, match="lock"), folder.hold(exclusive=exclusive, purpose="x", timeout=0):
            pass


def test_folders_deeper_than_the_interpreters_stack_are_looked_through(
    folder: LocalFolder, request: pytest.FixtureRequest
) -> None:
    folder.put(KEY, b"x")
    request.addfinalizer(partial(sys.setrecursionlimit, sys.getrecursionlimit()))
    sys.setrecursionlimit(400)
    deepest = os.open(folder.root / "packs", os.O_RDONLY)
    for _ in range(500):
        os.mkdir("d", dir_fd=deepest)
        inner = os.open("d", os.O_RDONLY, dir_fd=deepest)
        os.close(deepest)
        deepest = inner
    os.close(deepest)
    assert [entry.key for entry in folder.entries("packs/")] == [KEY]
    assert folder.remove_strays() == 0
