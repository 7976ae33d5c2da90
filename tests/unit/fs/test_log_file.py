"""A log that several processes write at once: every line is whole and none is lost, past any number of rotations."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.errors import FileAccessError
from aml.fs.log_file import LogFile
from tests.contract.backing_up import give_to_nobody, without_rights


def line(number: int, size: int = 40) -> bytes:
    return json.dumps({"n": number, "pad": "x" * max(0, size - 20)}).encode() + b"\n"


def numbers(path: Path) -> list[int]:
    return [json.loads(one)["n"] for one in path.read_bytes().splitlines()]


def logs(path: Path, keep: int) -> list[Path]:
    """The log and its earlier ones that exist, the oldest first."""
    named = [path.with_name(f"{path.name}.{number}") for number in range(keep, 0, -1)]
    return [one for one in (*named, path) if one.exists()]


def test_a_new_log_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", 1000, 5)
    log.append([line(1), line(2)])
    log.append([line(3)])
    assert numbers(log.path) == [1, 2, 3]
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["log"], "nothing else is left beside it"


def test_a_log_that_is_full_makes_way_and_the_oldest_goes(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", len(line(10)) * 2, 2)
    for number in range(10, 19):
        log.append([line(number)])
    assert [numbers(one) for one in logs(log.path, 5)] == [[14, 15], [16, 17], [18]]


def test_many_lines_at_once_are_spread_over_logs(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", len(line(10)) * 3, 5)
    log.append(line(number) for number in range(10, 20))
    assert [numbers(one) for one in logs(log.path, 5)] == [[10, 11, 12], [13, 14, 15], [16, 17, 18], [19]]


def test_a_line_larger_than_the_limit_has_a_log_of_its_own(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", 100, 5)
    log.append([line(1), line(2, 500), line(3)])
    assert [numbers(one) for one in logs(log.path, 5)] == [[1], [2], [3]]


def test_without_earlier_logs_a_full_one_is_begun_anew(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", len(line(1)) * 2, 0)
    log.append(line(number) for number in range(1, 6))
    assert numbers(log.path) == [5]
    assert os.listdir(tmp_path) == ["log"]


def test_without_a_limit_a_log_grows(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", 0, 5)
    log.append(line(number, 1000) for number in range(2000))
    assert len(numbers(log.path)) == 2000


def test_a_new_log_keeps_the_rights_that_the_old_one_was_given(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", 100, 5)
    log.append([line(1)])
    log.path.chmod(0o640)
    log.append([line(2, 90)])
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o640


@pytest.mark.parametrize("content", [b"# settings\n", b"[1]\n", b"\x1f\x8b\x08"])
def test_a_file_that_is_no_log_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "aml.toml"
    path.write_bytes(content)
    with pytest.raises(FileAccessError, match=r"is no log"):
        LogFile(path, 1, 5).append([line(1)])
    assert path.read_bytes() == content


def test_a_log_in_a_folder_that_may_not_be_written_goes_on_beyond_its_limit() -> None:
    with tempfile.TemporaryDirectory() as name:
        log = Path(name, "log")
        log.touch()
        give_to_nobody(log)
        log.parent.chmod(0o555)
        with without_rights():
            LogFile(log, 10, 5).append([b"{1}\n", b"{2, and more}\n"])
        log.parent.chmod(0o755)
        assert log.read_bytes() == b"{1}\n{2, and more}\n"
        assert os.listdir(name) == ["log"]


def test_a_link_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"")
    (tmp_path / "log").symlink_to(target)
    with pytest.raises(FileAccessError, match=r"it is a link"):
        LogFile(tmp_path / "log", 100, 5).append([line(1)])
    assert target.read_bytes() == b""


def test_half_a_line_that_a_power_cut_left_ends_before_the_next_begins(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(1) + b'{"n": 2, "pa')
    LogFile(path, 1000, 5).append([line(3)])
    assert path.read_bytes() == line(1) + b'{"n": 2, "pa\n' + line(3)


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit by the resource module")
def test_a_line_that_finds_no_room_is_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "log"
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from aml.errors import FileAccessError\n"
        "from aml.fs.log_file import LogFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "log = LogFile(Path(sys.argv[1]), 0, 5)\n"
        "for number in range(3):\n"
        "    try:\n"
        "        log.append([b'{' + b'x' * 57 + b'}\\n'])\n"
        "    except FileAccessError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == b"{" + b"x" * 57 + b"}\n"
    assert done.stdout.count(f"cannot write {path}") == 2


def test_a_pipe_gets_lines_and_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        LogFile(path, 10, 5).append([line(1), line(2)])
        assert os.read(reader, 4096) == line(1) + line(2)
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_an_open_stream_gets_lines_wherever_it_leads(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path\n"
        "from aml.fs.log_file import LogFile\n"
        "LogFile(Path('/dev/stderr'), 10, 5).append([b'{1}\\n', b'{2}\\n'])\n"
    )
    with open(tmp_path / "errors", "wb") as errors:
        assert subprocess.run([sys.executable, "-c", script], stderr=errors, timeout=30).returncode == 0
    assert (tmp_path / "errors").read_bytes() == b"{1}\n{2}\n"
    assert os.path.lexists("/dev/stderr")


def test_who_is_stuck_with_the_lock_holds_nobody_up_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aml.fs.log_file._LOCK_SECONDS", 0.05)
    log = LogFile(tmp_path / "log", 1000, 5)
    log.append([line(1)])
    with open(log.path, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(FileAccessError, match=r"another process keeps it locked"):
            log.append([line(2)])
    log.append([line(3)])
    assert numbers(log.path) == [1, 3]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"No such file.*the folder .*missing is not there"):
        LogFile(tmp_path / "missing" / "log", 10, 5).append([line(1)])


_WRITE_MANY = """
import json, sys
from pathlib import Path
from aml.fs.log_file import LogFile
from tests.contract.backing_up import give_to_nobody, without_rights
first, how_many, limit, keep = map(int, sys.argv[2:])
log = LogFile(Path(sys.argv[1]), limit, keep)
for number in range(first, first + how_many, 2):
    log.append(json.dumps({"n": one, "pad": "x" * (one % 50)}).encode() + b"\\n" for one in (number, number + 1))
"""


def writer(path: Path, first: int, how_many: int, limit: int, keep: int) -> subprocess.Popen[bytes]:
    """A process that logs so many lines, two at a time, numbered from ``first``."""
    words = [str(one) for one in (path, first, how_many, limit, keep)]
    return subprocess.Popen([sys.executable, "-c", _WRITE_MANY, *words])


def test_several_processes_write_past_rotation_and_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    keep, each = 500, 1000
    writers = [writer(path, one * each, each, 4000, keep) for one in range(4)]
    assert [one.wait(60) for one in writers] == [0, 0, 0, 0]
    found = logs(path, keep)
    assert len(found) > 20, "it was rotated while they wrote"
    assert all(one.stat().st_size <= 4000 for one in found)
    seen = [number for one in found for number in numbers(one)]
    assert sorted(seen) == list(range(4 * each)), "every line is whole, and is there once"
    for one in range(4):
        own = [number for number in seen if number // each == one]
        assert own == sorted(own), "in the order in which its process wrote them"


def test_a_writer_that_is_killed_leaves_whole_lines_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for _ in range(3):
        size = path.stat().st_size if path.exists() else 0
        killed = writer(path, 0, 1_000_000, 1 << 20, 50)
        while not path.exists() or path.stat().st_size == size:
            time.sleep(0.001)
        killed.kill()
        killed.wait(10)
    LogFile(path, 1 << 20, 50).append([line(7)])
    assert sum(len(numbers(one)) for one in logs(path, 50)) > 3


@given(
    sizes=st.lists(st.integers(30, 400), min_size=1, max_size=40), limit=st.integers(1, 1000), keep=st.integers(0, 4)
)
def test_the_newest_lines_are_always_there_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limit: int, keep: int
) -> None:
    log = LogFile(tmp_path_factory.mktemp("log") / "log", limit, keep)
    lines = [line(number, size) for number, size in enumerate(sizes)]
    for one in lines:
        log.append([one])
    text = b"".join(one.read_bytes() for one in logs(log.path, keep + 2))
    assert b"".join(lines).endswith(text)
    assert text.endswith(lines[-1])
    assert len(logs(log.path, keep + 2)) <= keep + 1
    for one in logs(log.path, keep):
        assert one.stat().st_size <= limit or len(one.read_bytes().splitlines()) == 1


def test_the_error_of_a_full_disk_says_so() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    with pytest.raises(FileAccessError, match=os.strerror(errno.ENOSPC)):
        LogFile(Path("/dev/full"), 10, 5).append([line(1)])
