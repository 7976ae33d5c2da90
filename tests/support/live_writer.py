"""A live agent: a process that follows the runtime's lock protocol to the letter and appends records to array files.

Run as a program, it logs each acknowledged record as one JSON line and dies loudly of a broken file or a compromised
lock; ``start_writer`` starts one from a test. ``agent_lock`` is the same lock for use inside a test.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

Record = dict[str, Any]

COMPROMISED, STARVED, BROKEN_FILE = 70, 71, 72
"""Exit statuses of a writer that cannot go on."""

STALE_SECONDS, REFRESH_SECONDS = 10.0, 5.0
_RETRIES, _FIRST_DELAY, _LONGEST_DELAY = 20, 1.0, 2.0
_MILLI = 1_000_000


class LockCompromisedError(Exception):
    """The lock went, or somebody else changed its time, while it was held."""


class StarvedError(Exception):
    """All retries are used up and the lock was never free."""


class AgentLock:
    """The lock folder beside a file as proper-lockfile makes, refreshes, takes over and removes it."""

    def __init__(self, file: Path, *, stale: float = STALE_SECONDS, refresh: float = REFRESH_SECONDS) -> None:
        self.folder = file.with_name(file.name + ".lock")
        self._stale, self._refresh = stale, refresh
        self._mtime_ms = 0
        self._released = threading.Event()

    def acquire(self) -> None:
        """Raises StarvedError after the last retry; the pauses grow from one second to two."""
        for retry in range(_RETRIES + 1):
            if self._try_to_acquire():
                threading.Thread(target=self._keep_fresh, daemon=True).start()
                return
            if retry < _RETRIES:
                time.sleep(min(_FIRST_DELAY * 2**retry, _LONGEST_DELAY))
        raise StarvedError(f"{self.folder} was never free in {_RETRIES} retries")

    def release(self) -> None:
        """Raises LockCompromisedError where the lock is not the one that was taken."""
        self._released.set()
        self._check()
        self.folder.rmdir()

    def _try_to_acquire(self) -> bool:
        if not self._make():
            try:
                age = time.time() - self.folder.stat().st_mtime
            except FileNotFoundError:
                return self._adopt() if self._make() else False
            if age <= self._stale:
                return False
            self.folder.rmdir()
            if not self._make():
                return False
        return self._adopt()

    def _make(self) -> bool:
        try:
            self.folder.mkdir()
        except FileExistsError:
            return False
        return True

    def _adopt(self) -> bool:
        """The first time is up to a second ahead and never on the full second, which tells its precision."""
        self._set_time(math.ceil(time.time()) * 1000 + 5)
        return True

    def _set_time(self, milliseconds: int) -> None:
        os.utime(self.folder, ns=(milliseconds * _MILLI, milliseconds * _MILLI))
        self._mtime_ms = milliseconds

    def _check(self) -> None:
        try:
            found = self.folder.stat().st_mtime_ns // _MILLI
        except FileNotFoundError:
            raise LockCompromisedError(f"{self.folder} vanished while it was held") from None
        if found != self._mtime_ms:
            raise LockCompromisedError(f"{self.folder} has the time {found}, but {self._mtime_ms} was set")

    def _keep_fresh(self) -> None:
        while not self._released.wait(self._refresh):
            try:
                self._check()
                self._set_time(time.time_ns() // _MILLI)
            except (LockCompromisedError, FileNotFoundError) as error:
                if not self._released.is_set():
                    _die(COMPROMISED, str(error))


@contextmanager
def agent_lock(file: Path, *, stale: float = STALE_SECONDS, refresh: float = REFRESH_SECONDS) -> Iterator[AgentLock]:
    """Hold an agent's lock on ``file``; leaving raises LockCompromisedError if it was touched by anybody else."""
    lock = AgentLock(file, stale=stale, refresh=refresh)
    lock.acquire()
    try:
        yield lock
    finally:
        lock.release()


def append_record(file: Path, record: Record) -> None:
    """Read the whole array, append, and replace the file as the runtime does; its lock must be held."""
    data = file.read_bytes() if file.exists() else b"[]"
    packed = data.startswith(b"\x1f\x8b")
    records = json.loads(gzip.decompress(data) if packed else data)
    if not isinstance(records, list):
        raise ValueError(f"{file} holds no array")
    records.append(record)
    text = json.dumps(records, indent=2, ensure_ascii=False).encode()
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_bytes(gzip.compress(text, compresslevel=1) if packed else text)
    temporary.rename(file)


def fresh_pattern(agent: str) -> Record:
    """A pattern made and used just now, which no rule removes."""
    return _pattern(agent, created_days=0, unused_days=0)


def unused_pattern(agent: str) -> Record:
    """A pattern that was last used far too long ago."""
    return _pattern(agent, created_days=400, unused_days=300)


def _pattern(agent: str, created_days: float, unused_days: float) -> Record:
    created = _before_now(created_days)
    return {
        "id": str(uuid.uuid4()),
        "agent": agent,
        "timestamp": created,
        "pattern": {
            "type": "live",
            "context": {},
            "approach": {"technique": "Append it", "rationale": "It was learned just now: naïve, 学."},
            "conditions": {"whenApplicable": [], "whenNotApplicable": []},
        },
        "metrics": {"successRate": 0.5, "executionCount": 5, "avgTimeSavedMs": 0, "errorPreventionCount": 0},
        "evolution": {
            "created": created,
            "lastUsed": _before_now(unused_days),
            "refinements": 0,
            "confidenceScore": 0.5,
        },
        "tags": [],
        "active": True,
    }


def _before_now(days: float) -> str:
    moment = datetime.now(UTC) - timedelta(days=days)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


@dataclass(frozen=True)
class Acknowledged:
    """A record that a writer was told is saved, after it had ``waited`` for the lock (seconds). ``fresh`` ones must
    never be removed."""

    file: Path
    fresh: bool
    record: Record
    waited: float


@dataclass
class Writer:
    """A writer process, in Python or in Node, and its log."""

    process: subprocess.Popen[str]
    log: Path

    def acknowledged(self) -> list[Acknowledged]:
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [
            Acknowledged(Path(entry["file"]), entry["fresh"], entry["record"], entry["waited"])
            for entry in map(json.loads, lines)
        ]

    def finish(self, timeout: float = 60.0) -> list[Acknowledged]:
        """Wait for its orderly end; AssertionError with its last words if it died of anything."""
        _, errors = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0, f"a writer died ({self.process.returncode}): {errors[-2000:]}"
        return self.acknowledged()

    def kill(self) -> None:
        """For the end of a test that failed: no process may outlive it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()


def start_writer(
    files: Sequence[Path],
    log: Path,
    *,
    seconds: float,
    pause: float = 0.15,
    hold: float = 0.0,
    stale: float = STALE_SECONDS,
    program: Sequence[str] = (),
) -> Writer:
    """Start a writer that appends to ``files`` in turn until ``seconds`` are over, then ends after its last write.

    ``hold`` keeps each lock for so many seconds more; ``program`` is another writer with the same options.
    """
    words = [*(program or (sys.executable, str(Path(__file__)))), "--log", str(log), "--seconds", str(seconds)]
    words += ["--pause", str(pause), "--hold", str(hold), "--stale", str(stale)]
    for file in files:
        words += ["--file", str(file)]
    return Writer(subprocess.Popen(words, stderr=subprocess.PIPE, text=True), log)


def node_writer() -> list[str]:
    """The command of the same writer in Node, for ``start_writer``; nothing where it cannot run."""
    node, modules = shutil.which("node"), os.environ.get("AML_TEST_NODE_MODULES")
    there = modules and all((Path(modules) / name).is_dir() for name in ("proper-lockfile", "pako"))
    return [node, str(Path(__file__).with_name("node_writer.mjs"))] if node and there else []


def _die(status: int, reason: str) -> NoReturn:
    sys.stderr.write(f"live writer: {reason}\n")
    sys.stderr.flush()
    os._exit(status)


def _write_until(end: float, options: argparse.Namespace, log: int) -> None:
    number = 0
    while time.monotonic() < end:
        file: Path = options.file[number % len(options.file)]
        fresh = number // len(options.file) % 2 == 0
        record = (fresh_pattern if fresh else unused_pattern)(file.parent.name)
        began = time.monotonic()
        with agent_lock(file, stale=options.stale, refresh=min(REFRESH_SECONDS, options.stale / 2)):
            waited = time.monotonic() - began
            append_record(file, record)
            time.sleep(options.hold)
        entry = {"file": str(file), "fresh": fresh, "record": record, "waited": round(waited, 3)}
        os.write(log, json.dumps(entry).encode() + b"\n")
        number += 1
        time.sleep(options.pause)


def main() -> int:
    """Run as a writer process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=Path, action="append", required=True)
    parser.add_argument("--log", type=Path, required=True)
    for name in ("--seconds", "--pause", "--hold", "--stale"):
        parser.add_argument(name, type=float, required=True)
    options = parser.parse_args()
    log = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        _write_until(time.monotonic() + options.seconds, options, log)
    except LockCompromisedError as error:
        _die(COMPROMISED, str(error))
    except StarvedError as error:
        _die(STARVED, str(error))
    except (ValueError, EOFError, OSError) as error:
        _die(BROKEN_FILE, f"{type(error).__name__}: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
