"""What a scan finds in a store, and what it passes by."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from aml.backup.scan import Part, Tree, is_passing, scan, with_parents
from aml.errors import FileAccessError
from tests.contract.backing_up import without_rights


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "memory"
    folder.mkdir()
    return folder


@pytest.fixture
def short() -> Iterator[Path]:
    """A store with a short path, that anybody may enter, and that may hold folders deeper than pytest can remove."""
    folder = Path(tempfile.mkdtemp(prefix="s"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["rm", "-rf", "--", folder], check=True)


def dig(root: Path, names: Iterable[bytes]) -> None:
    """Make folders in each other, however long their path becomes."""
    opened = os.open(root, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=opened)
        below = os.open(name, os.O_RDONLY, dir_fd=opened)
        os.close(opened)
        opened = below
    os.close(opened)


def write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"[]")


def part_of(root: Path, agent: str | None) -> Part:
    return next(part for part in scan(root, None) if part.agent == agent)


def files_of(part: Part) -> list[str]:
    return sorted(path for path, _ in part.files)


def folders_of(part: Part) -> list[str]:
    return sorted(folder.location for folder in part.folders)


def test_every_agent_has_a_part_and_the_rest_comes_first(root: Path) -> None:
    write(root, "beta/patterns.json", "alpha/a/b/c.md", "global/x.json", "backup-1/old.json", ".x/y", "config.json")
    (root / "empty").mkdir()
    parts = scan(root, None)
    assert [part.agent for part in parts] == [None, "alpha", "beta", "empty"]
    assert files_of(parts[0]) == [".x/y", "backup-1/old.json", "config.json", "global/x.json"]
    assert folders_of(parts[0]) == [".x", "backup-1", "global"]
    assert (folders_of(parts[1]), files_of(parts[1])) == (["alpha", "alpha/a", "alpha/a/b"], ["alpha/a/b/c.md"])
    assert (folders_of(parts[3]), files_of(parts[3])) == (["empty"], [])


def test_an_empty_store_has_the_rest_alone(root: Path) -> None:
    assert scan(root, None) == [Part(None)]


def test_only_the_agents_that_are_asked_for_are_scanned(root: Path) -> None:
    write(root, "alpha/x", "beta/x", "global/x.json", "loose")
    assert [part.agent for part in scan(root, {"beta"})] == ["beta"]
    assert scan(root, {"gamma"}) == []
    assert scan(root, set()) == []


def test_a_file_with_an_agent_s_name_is_no_agent(root: Path) -> None:
    write(root, "alpha")
    assert scan(root, {"alpha"}) == []
    assert files_of(part_of(root, None)) == ["alpha"]


def test_a_folder_whose_name_is_no_text_belongs_to_nobody(root: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    write(root, f"{name}/patterns.json")
    (part,) = scan(root, None)
    assert (part.agent, files_of(part)) == (None, [f"{name}/patterns.json"])
    assert part.folders[0].path == "\ufffd\ufffd"
    assert part.folders[0].path_hex == "fffe"


def test_folders_are_noted_with_mode_and_time(root: Path) -> None:
    folder = root / "alpha"
    folder.mkdir()
    folder.chmod(0o2750)
    os.utime(folder, ns=(-5, -1_000_000_001))
    (found,) = part_of(root, "alpha").folders
    assert (found.mode, found.mtime_ns) == (0o2750, -1_000_000_001)


def test_files_come_with_what_the_system_says_of_them(root: Path) -> None:
    write(root, "alpha/x")
    ((path, found),) = part_of(root, "alpha").files
    assert found == (root / path).lstat()


def test_locks_and_temporary_files_are_passed_by_with_all_that_is_in_them(root: Path) -> None:
    (root / "alpha/patterns.json.lock").mkdir(parents=True)
    write(root, "alpha/x.lock/inside", "alpha/patterns.json.tmp", "alpha/.x.aml-tmp-00ff", "top.tmp", "alpha/kept")
    assert files_of(part_of(root, "alpha")) == ["alpha/kept"]
    assert folders_of(part_of(root, "alpha")) == ["alpha"]
    assert files_of(part_of(root, None)) == []


def test_what_only_sounds_like_a_lock_or_a_temporary_file_is_found(root: Path) -> None:
    write(root, "alpha/yarn.lock", "alpha/cache.tmp/x", "alpha/x.tmp.json", "alpha/aml-tmp-x", "alpha/x.aml-tmp-1")
    assert files_of(part_of(root, "alpha")) == [
        "alpha/aml-tmp-x",
        "alpha/cache.tmp/x",
        "alpha/x.aml-tmp-1",
        "alpha/x.tmp.json",
        "alpha/yarn.lock",
    ]


@pytest.mark.parametrize(
    ("name", "is_folder", "passing"),
    [
        ("x.lock", True, True),
        ("x.lock", False, False),
        (".lock", True, True),
        ("lock", True, False),
        ("x.tmp", False, True),
        ("x.tmp", True, False),
        (".x.aml-tmp-1", False, True),
        ("x.aml-tmp-1", False, False),
        (".x.aml-tmp-1", True, False),
    ],
)
def test_passing_things_are_told_by_name_and_kind(name: str, is_folder: bool, passing: bool) -> None:
    assert is_passing(name, is_folder=is_folder) is passing


def test_links_are_named_and_never_followed(root: Path, tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/patterns.json")
    write(root, "alpha/x")
    for link, target in (
        ("linked", tmp_path / "elsewhere"),
        ("alpha/inner", tmp_path / "elsewhere"),
        ("alpha/file", root / "alpha/x"),
        ("alpha/dangling", "nowhere"),
        ("alpha/loop", "."),
        ("alpha/l.lock", tmp_path / "elsewhere"),
    ):
        (root / link).symlink_to(target)
    part = part_of(root, "alpha")
    assert files_of(part) == ["alpha/x"]
    assert sorted(part.skipped) == ["alpha/dangling", "alpha/file", "alpha/inner", "alpha/l.lock", "alpha/loop"]
    assert part_of(root, None).skipped == ["linked"]
    assert scan(root, {"linked"}) == []


def test_pipes_and_sockets_are_named_and_never_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "alpha").mkdir()
    os.mkfifo(root / "alpha/pipe")
    # a socket's path must be short
    monkeypatch.chdir(root / "alpha")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket")
        part = part_of(root, "alpha")
    assert (files_of(part), sorted(part.skipped), part.unread) == ([], ["alpha/pipe", "alpha/socket"], [])


def test_a_folder_2_000_levels_deep_is_scanned_to_its_end(short: Path) -> None:
    dig(short, [b"alpha", *[b"d"] * 2_000])
    part = part_of(short, "alpha")
    assert (len(part.folders), part.unread) == (2_001, [])
    assert part.folders[-1].location == "alpha" + "/d" * 2_000


def test_what_lies_beyond_the_longest_path_is_unread(short: Path) -> None:
    dig(short, [b"alpha", b"caf\xe9", *[b"ddd"] * 2_000])
    write(short, "beta/x")
    rest, part, other = scan(short, None)
    assert (rest, files_of(other)) == (Part(None), ["beta/x"])
    (unread,) = part.unread
    assert os.fsencode(unread.location).startswith(b"alpha/caf\xe9/ddd/ddd/")
    assert "too long" in unread.reason
    assert max(map(len, folders_of(part))) < len(unread.location) < os.pathconf("/", "PC_PATH_MAX")


def test_the_reason_why_a_path_is_unread_is_text_whatever_its_name(short: Path) -> None:
    dig(short, [b"alpha", b"caf\xe9", *[b"ddd"] * 2_000])
    (unread,) = part_of(short, "alpha").unread
    msgspec.json.encode(unread)


def test_a_store_that_is_gone_raises(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="cannot list"):
        scan(tmp_path / "gone", None)


def test_a_folder_without_rights_is_unread_and_hides_nothing_beside_it(short: Path) -> None:
    write(short, "alpha/closed/x", "alpha/open/y", "beta/z")
    shut = [short / "alpha/closed", short / "beta"]
    for folder in shut:
        folder.chmod(0)
    try:
        with without_rights():
            rest, alpha, beta = scan(short, None)
    finally:
        for folder in shut:
            folder.chmod(0o755)
    assert (rest.agent, rest.unread, rest.files) == (None, [], [])
    for part, location in ((alpha, "alpha/closed"), (beta, "beta")):
        (unread,) = part.unread
        assert unread.location == location
        assert unread.reason.startswith("cannot list")
    assert [path for path, _ in alpha.files] == ["alpha/open/y"]
    assert [one.location for one in alpha.folders] == ["alpha", "alpha/open"]
    assert (beta.files, beta.folders) == ([], [])


def test_a_tree_knows_what_lies_below_something_unread() -> None:
    tree = Tree(unread={"a/b": "no right"})
    assert [path for path in ("a", "a/b", "a/b/c/d", "a/bc", "b") if not tree.covers(path)] == ["a/b", "a/b/c/d"]
    assert Tree().covers("a")
    assert list(with_parents("a/b/c")) == ["a/b/c", "a/b", "a"]
    assert list(with_parents("")) == []
