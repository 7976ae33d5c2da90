"""A random walk: agents write, the project moves, and commands of every kind run, many of them broken off.

A model knows what agents wrote and did not take back. After each command every such record must be in the store, an
archive, the quarantine or a backup, in a form that it once had; no command but a migration may make a new form, and
that one must say the same. Every new backup is restored at once to learn what it holds.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fault.children import Ended, Words
from tests.fault.garbage_runner import Files, RestlessChildren, records_of, unaccounted
from tests.fault.inject import Fault
from tests.support.records import NOW, pattern, solution, to_v110, to_v200
from tests.support.schema_versions import read_meaning
from tests.support.stores import tree_digest

KINDS = ("patterns", "solutions")
FAULTS = (
    *[Fault.KILL_BEFORE, Fault.KILL_AFTER] * 4,
    Fault.TERMINATE,
    Fault.NO_SPACE,
    Fault.IO_ERROR,
    Fault.IO_ERROR_ON,
)
ANY_LOSS = "--max-loss 100%"

#: {agent}, {run}, {backup} are one that there is; a fault may meet any of them.
COMMANDS = (
    f"prune {ANY_LOSS}", "prune --aggressive --trust-clock", "prune --strategy space --no-backup", "prune --dry-run",
    "prune --plan plan.json", f"prune --apply plan.json {ANY_LOSS}", "prune undo {run}", "prune undo {run}",
    f"optimize gc {ANY_LOSS}", f"optimize gc --salvage {ANY_LOSS}", "optimize compress --age-days 0",
    "optimize compress --decompress --agent {agent}", "optimize all", "optimize index", "query --text cache",
    "backup create", "backup create --full --agent {agent}", "backup restore {backup}", "backup restore latest",
    "backup restore {backup} --agent {agent} --keep-extra", "backup verify", "backup rotate --keep-last 2",
    "backup drill", "backup auto", "migrate up --to 2.0.0 --skip-bad", "migrate up --agent {agent} --no-backup",
    "migrate down --to 1.0.0 --skip-bad", "monitor health", "monitor metrics",
)  # fmt: skip
#: What brings backups to their end, or takes records out of the store into them, as the user wants it.
_OF_BACKUPS = ("backup restore", "backup rotate", "backup auto")
_UNASKED = ("--yes", "--lock-timeout", "0.2")
_ASKING = ("prune", "optimize", "backup create", "backup restore", "backup rotate", "backup auto", "migrate")
_STATUSES = {0, 1, 2, 3, 4, 5, 11, 12, 13}


class Walk:
    """One project, what agents want to find in it, and where chance leads."""

    def __init__(self, seed: int, children: RestlessChildren, folder: Path) -> None:
        self._chance = random.Random(seed)
        self._children = children
        self._folder = folder
        self._scratch = folder / "scratch.json"
        self._project, self._moves = folder / "project", 0
        self._now = NOW.timestamp()
        self._made = 0
        self._owed: dict[str, set[bytes]] = {}
        self._forms: dict[str, set[bytes]] = {}
        self._whole: dict[str, bytes] = {}
        self._cached: tuple[str, list[bytes]] | None = None
        self._held: dict[str, set[bytes]] = {}
        self._decoys: dict[Path, object] = {}
        self._is_settled = True
        self.steps: list[str] = []
        for agent in ("alpha", "beta"):
            for kind in KINDS:
                self._append(self._store / agent / f"{kind}.json", 4)

    @property
    def _store(self) -> Path:
        return self._project / ".loom/memory"

    @property
    def _keep(self) -> Path:
        return self._project / ".loom/memory-backup"

    def step(self) -> None:
        """One act of an agent or a user, or one command, and what is wrong after it."""
        choice = self._chance.random()
        if choice < 0.4:
            self._act()
        elif choice < 0.45:
            self._move()
        else:
            self._command()

    def end(self) -> list[str]:
        """What is wrong after a few ordinary runs: they succeed, and leave nothing but what they should."""
        for path in self._store.glob("*/*.json"):
            if self._spans(path) is None:
                self._begin_anew(path)
        wrong = []
        for line in (f"optimize gc {ANY_LOSS}", "backup create", "optimize index", "backup verify"):
            self._now += 3600
            ended = self._run(line.split())
            wrong += [f"in the end aml {line}: exit {ended.exit}: {ended.err}"] if ended.exit else []
        self._check("backup restore")
        left = unaccounted(self._project, Files({}, {}, {}, {}, []))
        # those of a plan go an hour after, when it is written again
        return [*wrong, *(one for one in left if ".plan.json." not in one)]

    # ---- agents and users

    def _act(self) -> None:
        paths = sorted(self._store.glob("*/*.json")) or [self._store / "alpha/patterns.json"]
        path = self._chance.choice(paths)
        spans = self._spans(path)
        act = self._chance.choice(
            ("append", "append", "update", "delete", "cache", "write back", "cut", "pack", "stray")
        )
        self.steps.append(f"an agent: {act} {path.parent.name}/{path.name}")
        if spans is None:
            self._begin_anew(path)
        elif act == "append" or not spans:
            self._append(path, self._chance.randint(1, 3))
        elif act == "update":
            changed = json.loads(spans[-1]) | {"note": self._chance.random()}
            self._write(path, [*spans[:-1], self._own(changed)])
        elif act == "delete":
            self._forget(spans[:1])
            self._write(path, spans[1:])
        elif act == "cache":
            self._cached = path.relative_to(self._store).as_posix(), spans
        elif act == "write back" and self._cached is not None:
            self._write_back(self._store / self._cached[0], self._cached[1])
        elif act == "cut":
            self._cut(path, spans)
        elif act == "pack" and not path.with_name(path.name + ".gz").exists():
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(_array(spans)))
            path.unlink()
        elif act == "stray":
            path.with_name(path.name + ".tmp").write_bytes(b"[{}")
            os.utime(path.with_name(path.name + ".tmp"), (self._now - 9e5,) * 2)

    def _append(self, path: Path, count: int) -> None:
        new = []
        for _ in range(count):
            self._made += 1
            ident, agent, days = f"r{self._made}", path.parent.name, self._chance.choice((3, 100, 500))
            if path.stem == "patterns":
                unused = self._chance.choice((1, 100, 300))
                record = pattern(id=ident, agent=agent, created_days=days, unused_days=min(unused, days))
            else:
                record = solution(id=ident, agent=agent, created_days=days, worked=self._chance.random() < 0.5)
            version = self._chance.choice((None, None, to_v110, to_v200))
            new.append(self._own(record if version is None else version(record)))
        self._write(path, [*(self._spans(path) or []), *new])

    def _write_back(self, path: Path, spans: list[bytes]) -> None:
        """A live agent writes what it has in memory, whatever happened to the file. What it lacks is given up."""
        if not path.is_file() or (now := self._spans(path)) is None:
            return
        self._forget([one for one in now if one not in spans])
        for span in spans:
            self._owed[_ident(span)] = {span, *self._owed.get(_ident(span), ())}
        self._write(path, spans)

    def _cut(self, path: Path, spans: list[bytes]) -> None:
        """An agent dies while it writes: its records are lost, but for what the fragment says."""
        self._forget(spans)
        data = _array(spans)
        self._whole[path.parent.name + "/" + path.name] = data[: len(data) - self._chance.randint(2, 40)]
        path.write_bytes(self._whole[path.parent.name + "/" + path.name])

    def _begin_anew(self, path: Path) -> None:
        self._whole.pop(path.parent.name + "/" + path.name, None)
        path.write_bytes(b"[]")

    def _own(self, record: dict[str, object]) -> bytes:
        """What an agent writes of a record, which must be there from now on."""
        span = json.dumps(record, indent=self._chance.choice((None, 2))).encode()
        self._owed[_ident(span)] = {span}
        self._forms.setdefault(_ident(span), set()).add(span)
        return span

    def _forget(self, spans: Sequence[bytes]) -> None:
        for span in spans:
            self._owed.pop(_ident(span), None)

    def _write(self, path: Path, spans: Sequence[bytes]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = path.read_bytes()[:2] == b"\x1f\x8b" if path.is_file() else self._chance.random() < 0.3
        path.write_bytes(gzip.compress(_array(spans)) if packed else _array(spans))

    def _move(self) -> None:
        """The project is moved, or copied: then one of the two is never touched again."""
        self._moves += 1
        new = self._folder / f"project-{self._moves}"
        if self._chance.random() < 0.5:
            self._project.rename(new)
        else:
            shutil.copytree(self._project, new)
            self._decoys[self._project] = tree_digest(self._project)
        self.steps.append(f"moved to {new.name}")
        self._project = new

    # ---- commands

    def _command(self) -> None:
        runs = sorted(path.stem for path in (self._project / ".loom/memory.aml/runs").glob("*.json"))
        agents = sorted(path.name for path in self._store.iterdir() if path.is_dir())
        line = self._chance.choice(COMMANDS).format(
            agent=self._chance.choice(agents),
            run=self._chance.choice(runs or ["2026"]),
            backup=self._chance.choice(sorted(self._held) or ["latest"]),
        )
        words = [*line.split(), *(_UNASKED if line.startswith(_ASKING) and "history" not in line else ())]
        self._now += self._chance.choice((60, 3600, 86_400))
        fault = self._chance.choice(FAULTS) if self._chance.random() < 0.4 else None
        before = self._texts()
        at = int(2 ** (9 * self._chance.random()))
        ended = self._run(words, **({} if fault is None else {"fault": fault, "at": at}))
        self.steps.append(f"aml {line} ({fault} at {at}): exit {ended.exit}: {ended.err[:200]}")
        assert "Traceback" not in ended.err, ended.err
        assert ended.exit in _STATUSES | (set() if fault is None else {-9, 130}), ended
        if "--dry-run" in words and self._is_settled:
            assert self._texts() == before, "a dry run changed the store"
        # what a run that was broken off has left, the next one may bring to its end
        self._check(line if self._is_settled else "backup restore migrate")
        self._is_settled = fault is None

    def _run(self, words: Words, **injection: object) -> Ended:
        return self._children.run(self._project, words, self._now, **injection)

    # ---- what must be true

    def _check(self, line: str) -> None:
        self._learn_backups(line)
        store = [span for spans in self._texts().values() for span in spans or ()]
        for span in store:
            self._check_form(span, line)
        for path, spans in self._texts().items():
            doubled = [one for one, number in Counter(spans or ()).items() if number > 1]
            assert not doubled, f"doubled in {path}: {doubled[:2]}"
        archived, whole = self._put_aside()
        there, in_backups = {*store, *archived}, set().union(*self._held.values())
        for ident, forms in self._owed.items():
            assert forms & (there | in_backups), f"lost: {ident}"
        for path, data in self._whole.items():
            now = self._store / path
            found = now.read_bytes() if now.is_file() else b""
            assert data in (found, *whole, *in_backups), f"lost: {path}, which nobody could read"
        for place, digest in self._decoys.items():
            assert tree_digest(place) == digest, f"{place.name} was touched, which is another project by now"

    def _check_form(self, span: bytes, line: str) -> None:
        """A record of the store has a form that it once had, or one that a migration gave it, which says the same."""
        ident = _ident(span)
        assert ident in self._forms, f"made up: {span[:200]!r}"
        if span in self._forms[ident] and span in self._owed.get(ident, (span,)):
            return
        same = {one for one in self._forms[ident] if _meaning(one) == _meaning(span)}
        assert span in self._forms[ident] or ("migrate" in line and same), f"changed: {span[:200]!r}"
        self._forms[ident].add(span)
        if same & self._owed.get(ident, set()):
            self._owed[ident].add(span)

    def _texts(self) -> dict[str, list[bytes] | None]:
        """The records of each record file, packed copies of them too; None where nobody can read it."""
        paths = [path for path in self._store.glob("*/*") if path.name.endswith((".json", ".json.gz"))]
        return {path.relative_to(self._store).as_posix(): self._spans(path) for path in sorted(paths)}

    def _spans(self, path: Path) -> list[bytes] | None:
        return records_of(path.read_bytes(), self._scratch) if path.is_file() else []

    def _put_aside(self) -> tuple[set[bytes], set[bytes]]:
        """The records of all archives and files in quarantine, and those files."""
        files = {path.read_bytes() for path in self._keep.glob("quarantine/*/*/*") if path.is_file()}
        files |= {path.read_bytes() for path in self._keep.glob("archives/backup-*/*/*") if path.is_file()}
        records = {span for data in files for span in records_of(data, self._scratch) or ()}
        for path in self._keep.glob("archives/*/*.jsonl.gz"):
            lines = gzip.decompress(path.read_bytes()).splitlines()
            records |= {json.loads(line)["text"].encode() for line in lines}
        return records, files

    def _learn_backups(self, line: str) -> None:
        """Restore what backups are new, and see that none went unasked; what only they held goes too."""
        names = {path.name.removesuffix(".json.gz") for path in (self._keep / "snapshots").glob("2*.json.gz")}
        gone = self._held.keys() - names
        assert not gone or "backup" in line, f"backups went: {gone}"
        lost = set().union(*(self._held.pop(name) for name in gone))
        for name in names - self._held.keys():
            target = self._folder / "restored"
            shutil.rmtree(target, ignore_errors=True)
            ended = self._run(["backup", "restore", name, "--target", str(target), "--yes"])
            assert ended.exit == 0, f"a backup does not restore: {ended}"
            self._held[name] = set(_all_of(target, self._scratch))
        for ident in [ident for ident, forms in self._owed.items() if forms & lost]:
            # a restore took it out of the store, and then a rotation the backup made before
            there = {*self._put_aside()[0], *(one for spans in self._texts().values() for one in spans or ())}
            if not self._owed[ident] & there.union(*self._held.values()):
                assert line.startswith(_OF_BACKUPS), f"lost with a backup: {ident}"
                del self._owed[ident]


def _all_of(folder: Path, scratch: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            yield data
            yield from records_of(data, scratch) or ()


def _array(spans: Sequence[bytes]) -> bytes:
    return b"[\n  " + b",\n  ".join(spans) + b"\n]" if spans else b"[]"


def _ident(span: bytes) -> str:
    return str(json.loads(span)["id"])


def _meaning(span: bytes) -> object:
    record = json.loads(span)
    return read_meaning("patterns" if "pattern" in record else "solutions", record), record.get("note")
