"""Ways to spoil a project that has been looked after: each says what the environment of the call adds."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cli.running import kept
from tests.contract.backing_up import create_backup, flip, forge, packs_of, write_noise
from tests.support.records import NOW
from tests.support.stores import make_store

MEMORY = Path(".loom", "memory")
STATE = Path(".loom", "memory.aml")
KEEP = Path(".loom", "memory-backup")
DAY = 86_400.0

Situation = Callable[[Path, ExitStack], dict[str, str]]


def all_well(_project: Path, _stack: ExitStack) -> dict[str, str]:
    return {}


def no_store(project: Path, _stack: ExitStack) -> dict[str, str]:
    shutil.rmtree(project / ".loom")
    return {}


def one_damaged(project: Path, _stack: ExitStack) -> dict[str, str]:
    (project / MEMORY / "beta/solutions.json").write_bytes(b"[{")
    return {}


def all_damaged(project: Path, _stack: ExitStack) -> dict[str, str]:
    for file in (project / MEMORY).glob("*/*.json"):
        file.write_bytes(b"[{")
    return {}


def newer_records(project: Path, _stack: ExitStack) -> dict[str, str]:
    (project / MEMORY / "beta/solutions.json").write_bytes(b'[{"id":"n","version":"9.0.0"}]')
    return {}


def newer_repository(project: Path, _stack: ExitStack) -> dict[str, str]:
    (project / KEEP / "repository.json").write_bytes(b'{"format":9,"id":"x","created":"x"}')
    return {}


def newer_alerts(project: Path, _stack: ExitStack) -> dict[str, str]:
    (project / STATE / "alerts.json").write_bytes(b'{"format":9}')
    return {}


def spoilt_alerts(project: Path, _stack: ExitStack) -> dict[str, str]:
    (project / STATE / "alerts.json").write_bytes(b"x")
    return {}


def odd_version(project: Path, _stack: ExitStack) -> dict[str, str]:
    """A record of a version that never was."""
    make_store(project, {"beta": {"solutions": [kept("s") | {"version": "1.7.0"}]}})
    return {}


def no_agent_left(project: Path, _stack: ExitStack) -> dict[str, str]:
    shutil.rmtree(project / MEMORY)
    (project / MEMORY).mkdir()
    return {}


def spoilt_pack_to_be_repacked(project: Path, _stack: ExitStack) -> dict[str, str]:
    """Most of a pack is needed no more, and what is cannot be read."""
    shutil.rmtree(project / KEEP)
    for agent in ("alpha", "gamma"):
        write_noise(project, agent)
    # no two chunks alike
    (project / MEMORY / "gamma/patterns.json").write_bytes(os.urandom(3 << 20))
    create_backup(project, now=NOW.timestamp() - 3 * DAY)
    shutil.rmtree(project / MEMORY / "gamma")
    create_backup(project, now=NOW.timestamp() - 2 * DAY)
    pack = max(packs_of(project), key=lambda pack: pack.stat().st_size)
    flip(pack, 200_000)  # beyond the member that holds the lists of files
    os.utime(pack, (0, 0))  # packs younger than an hour stay
    return {}


def another_run(project: Path, stack: ExitStack) -> dict[str, str]:
    stack.enter_context(_flock(project / STATE / "run.lock"))
    return {}


def another_writer(project: Path, stack: ExitStack) -> dict[str, str]:
    """Somebody writes to the repository."""
    stack.enter_context(_flock(project / KEEP / "lock"))
    return {}


def agents_at_work(project: Path, _stack: ExitStack) -> dict[str, str]:
    for file in list((project / MEMORY).glob("*/*.json")):
        file.with_name(f"{file.name}.lock").mkdir()
    return {}


def one_agent_at_work(project: Path, _stack: ExitStack) -> dict[str, str]:
    (project / MEMORY / "beta/patterns.json.lock").mkdir()
    return {}


def spoilt_packs(project: Path, _stack: ExitStack) -> dict[str, str]:
    for pack in packs_of(project):
        flip(pack, 60)
    return {}


def spoilt_repository(project: Path, stack: ExitStack) -> dict[str, str]:
    """Its description and all that could tell what stood there."""
    spoilt_manifests(project, stack)
    (project / KEEP / "repository.json").write_bytes(b"junk")
    return {}


def spoilt_manifests(project: Path, _stack: ExitStack) -> dict[str, str]:
    for file in (project / KEEP / "snapshots").iterdir():
        flip(file, 20)
    return {}


def spoilt_journal(project: Path, _stack: ExitStack) -> dict[str, str]:
    for file in (project / STATE / "runs").iterdir():
        file.write_bytes(b"x")
    return {}


def spoilt_archive(project: Path, _stack: ExitStack) -> dict[str, str]:
    for file in (project / KEEP / "archives").rglob("*.gz"):
        file.write_bytes(b"x")
    return {}


def no_room_for_state(project: Path, _stack: ExitStack) -> dict[str, str]:
    """Something else has the name of AML's own folder."""
    shutil.rmtree(project / STATE)
    (project / STATE).write_bytes(b"")
    return {}


def odd_alerts(project: Path, _stack: ExitStack) -> dict[str, str]:
    """Something else has the name of the file of alerts."""
    path = project / STATE / "alerts.json"
    path.unlink()
    path.mkdir()
    return {}


def no_room_for_backups(project: Path, _stack: ExitStack) -> dict[str, str]:
    shutil.rmtree(project / KEEP)
    (project / KEEP).write_bytes(b"")
    return {}


def record_created_anew(project: Path, _stack: ExitStack) -> dict[str, str]:
    """An agent has written a record with the id of one that was pruned."""
    make_store(project, {"alpha": {"patterns": [kept("k1"), kept("o1")]}})
    return {}


def incomplete_backup(project: Path, _stack: ExitStack) -> dict[str, str]:
    shutil.rmtree(project / KEEP)
    (project / KEEP).mkdir()
    forge(project, ["alpha/patterns.json"], unread=["beta/patterns.json"])
    return {}


def link_in_the_store(project: Path, _stack: ExitStack) -> dict[str, str]:
    (project / MEMORY / "beta/patterns.json").unlink()
    (project / MEMORY / "beta/patterns.json").symlink_to("elsewhere")
    return {}


def clock_in_the_past(_project: Path, _stack: ExitStack) -> dict[str, str]:
    return {"now": str(NOW.timestamp() - 9 * DAY)}


def nobody_listens(_project: Path, _stack: ExitStack) -> dict[str, str]:
    return {"AML_WEBHOOK_URL": "http://127.0.0.1:9/", "AML_WEBHOOK_SECRET": "s" * 32, "AML_WEBHOOK_RETRIES": "0"}


def settings_exist(project: Path, _stack: ExitStack) -> dict[str, str]:
    (project / ".loom/aml.toml").write_bytes(b"")
    return {}


@contextmanager
def _flock(path: Path) -> Iterator[None]:
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
