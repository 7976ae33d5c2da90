"""Any file that AML reads may be anything: no command shows a traceback, leaves the project, or loses a record."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.running import Answer, aml
from tests.fault.garbage_runner import UNREADABLE, Files, is_record_file, records_of
from tests.support import hostile
from tests.support.records import NOW
from tests.support.stores import gunzipped, tree_digest

#: Everything but the status of an error that nobody expected.
_STATUSES = {0, 1, 2, 3, 4, 5, 10, 11, 12, 13}

#: Nothing here may wait for a pipe.
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.build(tmp_path_factory.mktemp("hostile") / "template")


def problems_of(folder: Path, target: str, lines: list[str]) -> Iterator[str]:
    """What is wrong after these commands have met the hostile file."""
    project = folder / "project"
    scratch = folder / "scratch"
    before, canary = Files.read(project), tree_digest(folder / hostile.CANARY)
    outside = {path.name for path in folder.iterdir()} | {scratch.name}
    for number, line in enumerate(lines):
        yield from (f"aml {line}: {problem}" for problem in _problems_told(line, _run(project, line, number)))
    if tree_digest(folder / hostile.CANARY) != canary or not (folder / hostile.CANARY / "victim.lock").is_dir():
        yield "what is not AML's has changed"
    if beside := {path.name for path in folder.iterdir()} - outside:
        yield f"made outside of the project: {beside}"
    yield from _lost(before, Files.read(project), scratch)


def _problems_told(line: str, answer: Answer) -> Iterator[str]:
    """What is wrong with how a command ended, and with what it said."""
    if answer.status not in _STATUSES:
        yield f"exit {answer.status}"
    if "Traceback" in answer.err:
        yield answer.err.strip().splitlines()[-1]
    if answer.status and not (answer.err + answer.out).strip():
        yield f"exit {answer.status} without a word"
    for said in (answer.out, answer.err):
        if any((ord(one) < 32 and one != "\n") or one in "\x9b\u202e" for one in said):
            yield f"shows control characters: {said[:300]!r}"


def _lost(before: Files, after: Files, scratch: Path) -> Iterator[str]:
    """Files and records that are neither in the store nor in quarantine nor in an archive."""
    for path, data in before.store.items():
        records = records_of(data, scratch)
        kept = data in (after.store.get(path), *after.quarantine.get(path, ()))
        if not kept and records is None and not _is_within(data, after.store.get(path, b"")):
            yield f"lost: {path}, which nobody could read"
        elif not kept and records is not None and is_record_file(path):
            agent, _, name = path.partition("/")
            there = Counter(records_of(after.store.get(path, b"[]"), scratch) or [])
            there += after.archived.get((agent, name.removesuffix(".json")), Counter())
            there += _archived_before(before, agent, name)
            if lack := Counter(records) - there:
                yield f"lost of {path}: {list(lack)[:2]}"


def _is_within(before: bytes, after: bytes) -> bool:
    """Whether what somebody could not read is still there, though packed, or with records put back beside it."""
    try:
        return gunzipped(before).strip().strip(b"[]").strip() in gunzipped(after)
    except UNREADABLE:
        return False


def _archived_before(before: Files, agent: str, name: str) -> Counter[bytes]:
    return before.archived.get((agent, name.removesuffix(".json")), Counter())


def _run(project: Path, line: str, number: int) -> Answer:
    # an odd lock is waited for, and an error of a backup is tried again, for longer than anybody here can wait
    patience = {"AML_LOCKS_TIMEOUT_SECONDS": "0.1", "AML_BACKUP_RETRIES": "0"}
    return aml(project, *line.split(), now=NOW.timestamp() + 3600 + 60 * number, environment=patience)


@given(data=st.data())
def test_a_hostile_file_harms_nobody(template: Path, data: st.DataObject) -> None:
    target = data.draw(st.sampled_from(hostile.targets(template)), label="target")
    mutation = data.draw(st.sampled_from(hostile.MUTATIONS), label="mutation")
    lines = data.draw(st.lists(st.sampled_from(hostile.commands(template)), min_size=3, max_size=5), label="lines")
    chance = random.Random(data.draw(st.integers(0, 999), label="seed"))
    assert not try_one(template, target, mutation, lines, chance)


def try_one(template: Path, target: str, mutation: str, lines: list[str], chance: random.Random) -> list[str]:
    folder = template.with_name("trial")
    shutil.rmtree(folder, ignore_errors=True)
    hostile.copied(template, folder)
    hostile.spoil(folder, target, mutation, chance)
    return list(problems_of(folder, target, lines))


_ODD = (*hostile.ODD, "a link to the canary")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutation", [*hostile.MUTATIONS, *_ODD])
def test_each_kind_of_file_may_be_anything(template: Path, mutation: str) -> None:
    """One file of each kind, and of the commands the next few, so that over all of them each command meets each."""
    kinds = {_kind(target): target for target in hostile.targets(template)}
    lines = hostile.commands(template)
    number = [*hostile.MUTATIONS, *_ODD].index(mutation)
    found = []
    for place, target in enumerate(kinds.values()):
        first = (number * 5 + place * 7) % len(lines)
        chosen = (lines + lines)[first : first + 9]
        told = try_one(template, target, mutation, chosen, random.Random(number * 100 + place))
        found += [f"{target}: {one}" for one in told]
    assert not found, "\n".join(found)


def _kind(target: str) -> str:
    """Where a file lies, and how its name ends: what is read in the same way."""
    path = Path(target)
    return f"{path.parent.parts[:3]} {path.suffix}" if "backup" in target else target
