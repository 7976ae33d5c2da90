"""A project in which every kind of file that AML reads is there, and hostile versions of each of them."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.cli.running import aml
from tests.contract.pruning import fresh, stale
from tests.support.records import NOW, decision, pattern, solution
from tests.support.stores import gunzipped, make_store, write_array

CANARY = "canary"

#: Every command, by the words that follow aml; {run} is a run, {alert} an alert. A restore in place is a dry run here,
#: and so is a migration, since both change what is in the store on purpose.
COMMANDS = (
    "prune --max-loss 100%",
    "prune --dry-run --json",
    "prune --strategy space --max-loss 100%",
    "prune --apply plan.json --max-loss 100%",
    "prune --plan other.json",
    "prune history -v",
    "prune undo {run}",
    "prune undo {run} --dry-run",
    "prune explain f1",
    "optimize gc --max-loss 100%",
    "optimize gc --salvage --dry-run",
    "optimize compress --age-days 0",
    "optimize compress --decompress",
    "optimize index",
    "optimize index --rebuild",
    "optimize warm-cache",
    "optimize all --max-loss 100%",
    "query --text cache",
    "query --sort last-used --jsonl",
    "show f1",
    "backup create",
    "backup list",
    "backup show latest",
    "backup diff",
    "backup restore latest --dry-run",
    "backup restore latest --target restored",
    "backup verify",
    "backup rotate --keep-last 1",
    "backup drill",
    "backup auto",
    "migrate detect",
    "migrate plan",
    "migrate up --to 2.0.0 --dry-run",
    "migrate history",
    "monitor metrics",
    "monitor metrics --format prometheus",
    "monitor health",
    "monitor report",
    "monitor report --format markdown --no-record",
    "monitor report --html report.html",
    "monitor alerts list --all",
    "monitor alerts show {alert}",
    "monitor alerts ack {alert} --note seen",
    "monitor alerts history",
    "config show",
    "config path",
)


def build(folder: Path) -> Path:
    """A project ``folder/project`` on which AML has done all that it does, and a tree beside it that is not its own."""
    project = folder / "project"
    agents = {
        "alpha": {
            "patterns": [stale("s1"), fresh("f1"), pattern(id="p", note="naïve")],
            "decisions": [decision(id="d")],
        },
        "beta": {"solutions": [solution(id="s", agent="beta")]},
    }
    memory = make_store(project, agents)
    (memory / "global").mkdir()
    (memory / "global" / "cross-agent.json").write_text("{}", encoding="utf-8")
    write_array(memory / "beta" / "patterns.json", [stale("s2"), fresh("f2"), None], form="gzip")
    (folder / CANARY).mkdir()
    (folder / CANARY / "victim.json").write_text("[]", encoding="utf-8")
    (folder / CANARY / "victim.lock").mkdir()
    for line in (
        "config init",
        "migrate up --to 1.1.0 --yes",
        "prune --max-loss 100%",
        "backup create",
        "monitor health",
    ):
        aml(project, *line.split())
    write_array(memory / "alpha" / "patterns.json", [stale("s3"), fresh("f1"), None])
    (memory / "beta" / "solutions.json").write_bytes(b"")
    lines = ("optimize gc --max-loss 100%", "monitor metrics", "optimize all", "query --text cache", "backup verify")
    for number, line in enumerate((*lines, "prune --plan plan.json --max-loss 100%"), start=1):
        aml(project, *line.split(), now=NOW.timestamp() + 60 * number)
    return folder


def targets(folder: Path) -> list[str]:
    """All files of a project that AML reads, by their paths inside it."""
    project = folder / "project"
    found = [path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()]
    return sorted(path for path in found if Path(path).name not in (".gitignore", "run.lock", "operations.lock"))


def commands(folder: Path) -> list[str]:
    """The command lines with the names that fit the project."""
    state = folder / "project" / ".loom" / "memory.aml"
    runs = sorted(path.stem for path in (state / "runs").glob("*.json"))
    alerts = json.loads((state / "alerts.json").read_bytes())["alerts"]
    return [line.format(run=runs[0], alert=alerts[0]["id"]) for line in COMMANDS]


_PLAIN: dict[str, bytes] = {
    "nothing": b"",
    "a bracket": b"[",
    "an empty array": b"[]",
    "an empty object": b"{}",
    "null": b"null",
    "a number": b"1e999",
    "zeros": bytes(5000),
    "no UTF-8": b'{"schema": 1, "id": "\xff\xfe"}',
    "depth": b"[" * 200_000,
    "depth of objects": b'{"a":' * 100_000,
    "digits": b"[" + b"9" * 5000 + b"]",
    "a gzip of nothing": gzip.compress(b""),
    "a gzip cut short": gzip.compress(b"[1, 2, 3]" * 100)[:-7],
    "a gzip of depth": gzip.compress(b"[" * 200_000),
    "a later schema": b'{"schema": 999999, "version": 999999, "format": 999999}',
    "SQLite": b"SQLite format 3\0" + bytes(200),
}
_VALUES: tuple[Any, ...] = (
    None, True, -1, 2**63, 1e308, 10**400, "", [], {}, "x" * 5000, "a\0b", "\x1b[31m\x9b2J\u202e", "\ud83d",
    "../../../canary/victim", "../../canary/victim.json", ".", "..", "/", "C:\\x",
)  # fmt: skip
#: In place of a random value of the file, wherever it stands.
_SWAPS = tuple(f"value {number}" for number in range(len(_VALUES)))
MUTATIONS = (*_PLAIN, "cut short", "a flipped byte", "twice", "an absolute path", *_SWAPS)
#: Things that are no files.
ODD = {"a folder": os.mkdir, "a pipe": os.mkfifo, "a dangling link": lambda path: os.symlink("/nowhere/at/all", path)}


def spoil(folder: Path, target: str, mutation: str, chance: random.Random) -> None:
    """Put a hostile version of ``target`` in its place."""
    path = folder / "project" / target
    data = path.read_bytes()
    path.chmod(0o600)
    if mutation in ODD or mutation == "a link to the canary":
        path.unlink()
        (ODD.get(mutation) or (lambda place: os.symlink(folder / CANARY / "victim.json", place)))(path)
    else:
        path.write_bytes(_PLAIN[mutation] if mutation in _PLAIN else _altered(data, mutation, folder, chance))


def _altered(data: bytes, mutation: str, folder: Path, chance: random.Random) -> bytes:
    place = chance.randrange(len(data)) if data else 0
    if mutation == "cut short":
        return data[:place]
    if mutation == "a flipped byte":
        return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :] if data else b"x"
    if mutation == "twice":
        return data + data
    value = str(folder / CANARY / "victim") if mutation == "an absolute path" else _VALUES[int(mutation.split()[1])]
    return _with_value(data, value, chance)


def _with_value(data: bytes, value: Any, chance: random.Random) -> bytes:
    """The same document, or one line of it, with a random value replaced; packed again where it was packed."""
    try:
        text = gunzipped(data)
        lines = text.splitlines() if b"\n{" in text.strip() else [text]
        number = chance.randrange(len(lines))
        document = json.loads(lines[number])
    except (ValueError, EOFError, OSError, IndexError):
        return data[: len(data) // 2] + json.dumps(value).encode() + data[len(data) // 2 :]
    setters = list(_setters(document))
    if setters:
        chance.choice(setters)(value)
    lines[number] = json.dumps(document).encode()
    changed = b"\n".join(lines) + (b"\n" if len(lines) > 1 else b"")
    return gzip.compress(changed, mtime=0) if data.startswith(b"\x1f\x8b") else changed


def _setters(document: Any) -> Iterator[Callable[[Any], None]]:
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, inner in items:
        yield lambda value, key=key: document.__setitem__(key, value)
        yield from _setters(inner)


def copied(template: Path, folder: Path) -> Path:
    """A copy of a project made by ``build``, with the plan made one for the store there."""
    shutil.copytree(template, folder, symlinks=True)
    plan, root = folder / "project" / "plan.json", folder / "project" / ".loom" / "memory"
    document = json.loads(plan.read_bytes())
    found = root.stat()
    document["store"] = {"path": str(root.resolve()), "device": found.st_dev, "inode": found.st_ino}
    plan.write_text(json.dumps(document), encoding="utf-8")
    return folder
