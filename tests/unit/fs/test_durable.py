"""Files are replaced whole or not at all, look as before but for their content, and leave nothing behind."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aml.errors import ChangedError, FileAccessError
from aml.fs.durable import (
    is_temporary,
    make_private_folder,
    remove_durably,
    replace_durably,
    temporary_for,
    write_durably,
    write_output,
)
from aml.store.read import fingerprint

syncs_by_fsync = pytest.mark.skipif(sys.platform == "darwin", reason="files are synced by fcntl there")


def agree() -> None:
    """A proof that holds."""


def replace(path: Path, data: bytes, proof: Callable[[], None] = agree) -> None:
    replace_durably(path, data, path.stat(), proof)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def log_calls(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[tuple[str, Path]]:
    """The named system calls in their order, each with the path that its first argument means."""
    calls: list[tuple[str, Path]] = []
    paths: dict[int, Path] = {}
    real_open = os.open

    def open_and_remember(path: Any, *more: Any, **options: Any) -> int:
        descriptor = real_open(path, *more, **options)
        paths[descriptor] = Path(path)
        return descriptor

    def logged(name: str) -> Callable[..., Any]:
        call = getattr(os, name)

        def run(*arguments: Any, **options: Any) -> Any:
            first = arguments[0]
            calls.append((name, paths[first] if isinstance(first, int) else Path(first)))
            return call(*arguments, **options)

        return run

    monkeypatch.setattr(os, "open", open_and_remember)
    for name in names:
        monkeypatch.setattr(os, name, logged(name))
    return calls


def fail_call(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, fail)


# --- replacing


def test_the_content_is_replaced_and_nothing_else_is_in_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    replace(path, b"after" * 1000)
    assert path.read_bytes() == b"after" * 1000
    assert os.listdir(tmp_path) == ["patterns.json"]


def test_a_reader_that_has_the_file_open_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    with path.open("rb") as reader:
        replace(path, b"after")
        assert reader.read() == b"before"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o666, 0o400])
def test_the_mode_is_kept_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    path.chmod(mode)
    umask = os.umask(0o077)
    try:
        replace(path, b"after")
    finally:
        os.umask(umask)
    assert mode_of(path) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    os.chown(path, 12345, 23456)
    path.chmod(0o640)
    replace(path, b"after")
    assert (path.stat().st_uid, path.stat().st_gid, mode_of(path)) == (12345, 23456, 0o640)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes on this platform")
def test_extended_attributes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    try:
        os.setxattr(path, "user.origin", b"agent \xff")
    except OSError:
        pytest.skip("no extended attributes on this file system")
    replace(path, b"after")
    assert os.getxattr(path, "user.origin") == b"agent \xff"


def test_a_file_system_without_attributes_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    if hasattr(os, "listxattr"):
        fail_call(monkeypatch, "listxattr", errno.ENOTSUP)
    replace(path, b"after")
    assert path.read_bytes() == b"after"


def test_the_draft_is_never_more_open_than_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is written, before it has the mode of the file, nobody else may read it."""
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    path.chmod(0o666)
    modes: list[int] = []
    write = os.write

    def look_and_write(descriptor: int, data: Any) -> int:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", look_and_write)
    replace(path, b"after")
    assert set(modes) == {0o600}


def test_short_writes_are_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:7])))
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    replace(path, bytes(range(256)))
    assert path.read_bytes() == bytes(range(256))


@syncs_by_fsync
def test_data_is_on_disk_before_the_rename_and_the_rename_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    calls = log_calls(monkeypatch, "write", "fsync", "rename", "fchmod")
    replace(path, b"after")
    names = [name for name, _ in calls]
    draft = calls[0][1]
    assert draft.parent == tmp_path, "a rename is atomic only within one folder's file system"
    assert names == ["write", "fchmod", "fsync", "rename", "fsync"]
    assert [where for _, where in calls] == [draft, draft, draft, draft, tmp_path]


@syncs_by_fsync
def test_the_proof_is_called_after_the_data_is_on_disk_and_just_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    calls = log_calls(monkeypatch, "write", "fsync", "rename")
    replace(path, b"after", lambda: calls.append(("proof", path)))
    assert [name for name, _ in calls] == ["write", "fsync", "proof", "rename", "fsync"]


def test_a_proof_that_fails_calls_the_write_off(tmp_path: Path) -> None:
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    before = fingerprint(path.stat())

    def refuse() -> None:
        raise ChangedError("somebody else wrote")

    with pytest.raises(ChangedError, match="somebody else wrote"):
        replace(path, b"after", refuse)
    assert path.read_bytes() == b"before"
    assert fingerprint(path.stat()) == before
    assert os.listdir(tmp_path) == ["patterns.json"]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_no_draft(tmp_path: Path, interrupt: type[BaseException]) -> None:
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")

    def be_interrupted() -> None:
        raise interrupt

    with pytest.raises(interrupt):
        replace(path, b"after", be_interrupted)
    assert os.listdir(tmp_path) == ["patterns.json"]
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@syncs_by_fsync
@pytest.mark.parametrize("name", ["write", "fsync", "fchmod", "rename"])
def test_a_failed_call_leaves_the_file_as_it_was_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    like = path.stat()
    with monkeypatch.context() as patched:
        fail_call(patched, name, number)
        with pytest.raises(FileAccessError, match=r"patterns\.json") as caught:
            replace_durably(path, b"after", like, agree)
    assert os.strerror(number) in caught.value.message
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["patterns.json"]


def test_a_full_disk_half_way_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    write = os.write
    sizes: list[int] = []

    def write_until_full(descriptor: int, data: Any) -> int:
        if sizes:
            raise OSError(errno.ENOSPC, "full")
        sizes.append(write(descriptor, bytes(data[:100])))
        return sizes[0]

    monkeypatch.setattr(os, "write", write_until_full)
    with pytest.raises(FileAccessError) as caught:
        replace(path, b"after" * 1000)
    monkeypatch.undo()
    assert "free some space" in caught.value.advice
    assert sizes == [100]
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["patterns.json"]


def test_a_stray_draft_of_somebody_else_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where its name is guessed: a link in its place would lead the write elsewhere."""
    path = tmp_path / "patterns.json"
    path.write_bytes(b"before")
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    monkeypatch.setattr(os, "urandom", lambda size: b"\0" * size)
    guessed = temporary_for(path)
    guessed.symlink_to(victim)
    with pytest.raises(FileAccessError):
        replace(path, b"after")
    assert victim.read_bytes() == b"untouched"
    assert path.read_bytes() == b"before"


# --- files and folders of AML's own


def test_a_file_of_amls_own_is_private_whatever_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        write_durably(tmp_path / "note", b"text")
    finally:
        os.umask(umask)
    assert mode_of(tmp_path / "note") == 0o600
    write_durably(tmp_path / "note", b"again")
    assert (tmp_path / "note").read_bytes() == b"again"
    assert os.listdir(tmp_path) == ["note"]


def test_another_mode_is_given_exactly(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        write_durably(tmp_path / "note", b"text", mode=0o664)
    finally:
        os.umask(umask)
    assert mode_of(tmp_path / "note") == 0o664


def test_writing_where_there_is_no_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"cannot write .*gone"):
        write_durably(tmp_path / "gone" / "note", b"text")


def test_private_folders_are_made_with_their_parents(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        make_private_folder(tmp_path / "state" / "runs")
    finally:
        os.umask(umask)
    assert mode_of(tmp_path / "state") == mode_of(tmp_path / "state" / "runs") == 0o700


def test_an_existing_folder_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o755)
    make_private_folder(tmp_path / "state")
    make_private_folder(tmp_path / "state" / "runs")
    assert mode_of(tmp_path / "state") == 0o755
    assert mode_of(tmp_path / "state" / "runs") == 0o700


def test_new_folders_are_on_disk_with_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = log_calls(monkeypatch, "mkdir", "fsync")
    make_private_folder(tmp_path / "state" / "runs")
    assert calls == [
        ("mkdir", tmp_path / "state"),
        ("fsync", tmp_path),
        ("mkdir", tmp_path / "state" / "runs"),
        ("fsync", tmp_path / "state"),
    ]


def test_a_removed_file_is_gone_for_good_and_a_missing_one_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "note"
    path.write_bytes(b"text")
    calls = log_calls(monkeypatch, "unlink", "fsync")
    remove_durably(path)
    assert calls == [("unlink", path), ("fsync", tmp_path)]
    assert not path.exists()
    remove_durably(path)


def test_removing_a_folder_as_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileAccessError, match="cannot remove"):
        remove_durably(tmp_path / "folder")
    assert (tmp_path / "folder").is_dir()


# --- names of drafts


def test_drafts_lie_beside_their_file_hidden_known_and_each_different(tmp_path: Path) -> None:
    path = tmp_path / "patterns.json"
    drafts = {temporary_for(path) for _ in range(50)}
    assert len(drafts) == 50
    for draft in drafts:
        assert draft.parent == tmp_path
        assert draft.name.startswith(".")
        assert is_temporary(draft.name)


@pytest.mark.parametrize(
    "name",
    ["patterns.json", "patterns.json.tmp", ".patterns.json.tmp", "patterns.json.lock", ".gitkeep", "a.aml-tmp-1", ""],
)
def test_what_agents_name_so_is_no_draft_of_amls(name: str) -> None:
    assert not is_temporary(name)


def test_an_output_clears_what_the_dead_left_of_it_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "figures.txt"
    dead, alive, of_another = (
        tmp_path / name
        for name in (".figures.txt.aml-tmp-0a1b2c3d", ".figures.txt.aml-tmp-ffffffff", ".plan.json.aml-tmp-0a1b2c3d")
    )
    folder = tmp_path / ".figures.txt.aml-tmp-folder00"
    folder.mkdir()
    for one in (dead, alive, of_another):
        one.write_bytes(b"half")
    for one in (dead, of_another, folder):
        os.utime(one, (0, 0))
    write_output(path, b"all", mode=0o644)
    assert path.read_bytes() == b"all"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert sorted(tmp_path.iterdir()) == sorted([path, alive, of_another, folder])
