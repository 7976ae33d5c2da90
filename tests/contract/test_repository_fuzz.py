"""Whatever is damaged in a repository: it is found, a restore is right or refused, and a backup mends what it can.

Each case damages one file (or swaps two) of a copy of a small repository, at a place that is drawn from its number. A
sample runs by default; those marked slow try a thousand.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from aml.backup.options import RestoreOptions
from aml.errors import DamagedError, ExitStatus, NotFoundError, SchemaError
from aml.fs.new_folder import remove_tree
from aml.repository.check import Finding
from aml.store.open import Store, open_store
from aml.workflows.backup import backup, list_backups
from aml.workflows.conditions import Conditions
from aml.workflows.restore import restore
from aml.workflows.upkeep import rotate_backups, verify_backups
from tests.cli.running import aml
from tests.contract.recovering import Node, look
from tests.support.records import Record, decision, pattern, solution
from tests.support.stores import encode_array, write_array

DESCRIPTION = "repository.json"
HOUR = 3600.0
#: How many cases of each kind run by default in each of two tests, and how many where slow tests run too.
FEW, MANY = 12, 144

Tree = dict[str, Node]
#: Damages a file of a repository, given all files that there are.
Harm = Callable[[Random, Path, list[Path]], None]


@dataclass(frozen=True)
class World:
    """A store, the repository of its backups made at ``start`` and later, and what each of them holds by its id."""

    store: Store
    repository: Path
    backups: dict[str, Tree]
    start: float

    @property
    def newest(self) -> Tree:
        """What the store holds now."""
        return list(self.backups.values())[-1]

    def copies(self) -> Path:
        return self.store.root.parent / "copies"


def _texts(count: int, seed: int) -> list[str]:
    random = Random(seed)
    return [" ".join(random.choices(WORDS, k=60)) for _ in range(count)]


WORDS = [f"{Random(number).getrandbits(64):x}" for number in range(300)]


def _patterns(count: int) -> list[Record]:
    return [pattern(id=f"p{number}", rationale=text) for number, text in enumerate(_texts(count, 1))]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three backups by the command line: one of all, and two of what changed, each with something that is gone now."""
    project = tmp_path_factory.mktemp("project")
    memory = project / ".loom/memory"
    write_array(memory / "alpha/patterns.json", _patterns(160))
    write_array(memory / "alpha/solutions.json", [solution(id=f"s{number}") for number in range(40)], form="gzip")
    write_array(memory / "beta/patterns.json", _patterns(160)[100:], form="gzip")
    write_array(memory / "beta/decisions.json", [decision(id=text) for text in _texts(40, 2)])
    (memory / "beta/empty").mkdir()
    (memory / "beta/cut.json").write_bytes(encode_array(_patterns(3))[:-7])
    (memory / "global").mkdir()
    (memory / "global/conventions.json").write_bytes(b'{"naming": "plain"}')
    (memory / "global/nothing.md").touch()
    time.sleep(2.1)  # a file that has just changed is read again, and the others shall not be
    start, backups = time.time(), {}
    for number in range(3):
        if number == 1:
            write_array(memory / "alpha/patterns.json", _patterns(170)[1:])
            (memory / "beta/decisions.json").unlink()
        if number == 2:
            write_array(memory / "beta/patterns.json", _patterns(140)[100:], form="gzip")
            (memory / "alpha/notes.md").write_bytes(b"# Notes\n")
        assert aml(project, "backup", "create", now=start + 60 * number).status == 0
        backups[list_backups(open_store(memory)).backups[-1].id] = look(memory)
    return World(open_store(memory), memory.with_name("memory-backup"), backups, start)


def flip(random: Random, path: Path, _: list[Path]) -> None:
    data = bytearray(path.read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.write_bytes(data)


def cut(random: Random, path: Path, _: list[Path]) -> None:
    os.truncate(path, random.choice([0, random.randrange(path.stat().st_size), path.stat().st_size - 1]))


def blank(random: Random, path: Path, _: list[Path]) -> None:
    data = bytearray(path.read_bytes())
    start = random.randrange(len(data))
    length = min(random.choice([1, 16, 512, 4096]), len(data) - start)
    data[start : start + length] = bytes(length)
    path.write_bytes(data)


def insert(random: Random, path: Path, _: list[Path]) -> None:
    data = path.read_bytes()
    place = random.choice([0, random.randrange(len(data)), len(data), len(data)])
    more = random.choice([b"\0", b"\n", random.randbytes(random.choice([1, 40, 5000])), data])
    path.write_bytes(data[:place] + more + data[place:])


def delete(random: Random, path: Path, _: list[Path]) -> None:
    path.unlink()


def swap(random: Random, path: Path, others: list[Path]) -> None:
    other = random.choice([one for one in others if one != path])
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)


def overwrite(random: Random, path: Path, others: list[Path]) -> None:
    path.write_bytes(random.choice([*others, Path(__file__)]).read_bytes())


HARMS: list[Harm] = [flip, cut, blank, insert, delete, swap, overwrite]
#: All of them, once the three at the end of this file are mended.
MENDABLE = HARMS
#: How a restore names all that belongs to no agent, where its list cannot be read.
REST = "(what belongs to no agent)"


class Case:
    """A copy of the world's repository, to be damaged."""

    def __init__(self, world: World, name: str = "") -> None:
        self.world = world
        self.random = Random(name)
        self.place = world.copies() / "repository"
        self.conditions = Conditions(repository=self.place)
        self.known = dict(world.backups)
        shutil.rmtree(world.copies(), ignore_errors=True)
        shutil.rmtree(world.store.state, ignore_errors=True)
        shutil.copytree(world.repository, self.place)
        self.touched: set[str] = set()

    def damage(self, harm: Harm) -> None:
        """Do harm to a file of some kind; ``touched`` tells which ones it changed."""
        before = self._files()
        paths = [self.place / key for key in before if key not in ("lock", ".gitignore")]
        kind = self.random.choice([DESCRIPTION, *["index"] * 2, *["snapshots"] * 3, *["packs"] * 4])
        path = self.random.choice([one for one in paths if one.relative_to(self.place).parts[0] == kind])
        harm(self.random, path, paths)
        after = self._files()
        self.touched |= {key for key in before if before[key] != after.get(key)}

    def _files(self) -> dict[str, bytes]:
        paths = sorted(path for path in self.place.rglob("*") if path.is_file())
        return {path.relative_to(self.place).as_posix(): path.read_bytes() for path in paths}

    def verify(self) -> tuple[Finding, ...] | None:
        """What verify finds; None where it refuses the whole repository for another format."""
        try:
            report = verify_backups(self.world.store, now=self.world.start + 300, conditions=self.conditions)
        except SchemaError:
            assert DESCRIPTION in self.touched
            return None
        assert (report.status is ExitStatus.DAMAGED) == bool(report.findings)
        assert all(one.key and one.problem for one in report.findings)
        return report.findings

    def restored(self, identity: str, *, skip_damaged: bool = False) -> tuple[Tree, set[str]] | None:
        """The tree that a restore gives and the paths that it says are missing; None where it refuses."""
        target = self.world.copies() / "target"
        remove_tree(target)
        options = RestoreOptions(skip_damaged=skip_damaged)
        try:
            report = restore(self.world.store, identity, options, target=target, conditions=self.conditions)
        except (DamagedError, NotFoundError, SchemaError):
            assert not target.exists()
            return None
        missing = {one.path for one in (*report.damaged, *report.left)}
        assert (report.status is ExitStatus.DONE) == (not missing)
        return look(target), missing

    def whole(self) -> set[str]:
        """The backups that a restore gives back, each exactly as it was; no other comes back with status 0."""
        found = set()
        for identity, tree in self.known.items():
            outcome = self.restored(identity)
            if outcome is not None:
                assert outcome == (tree, set()), identity
                found.add(identity)
        return found

    def lost(self, identity: str) -> set[str] | None:
        """The files of a backup that a restore leaves out and names, all others being as they were.

        None where a whole list of files cannot be read.
        """
        outcome = self.restored(identity, skip_damaged=True)
        if outcome is None:
            return None
        found, missing = outcome
        tree = self.known[identity]
        lost = tree.keys() - found.keys()
        above = {path for path in found if any(one.startswith(f"{path}/") for one in lost)}  # these have another time
        assert found.keys() <= tree.keys()
        assert all(found[path] == tree[path] for path in found.keys() - above)
        if REST in missing or any(path in lost and tree[path][0] is None for path in missing):
            return None
        assert lost == missing
        return lost

    def back_up(self, minute: int) -> bool:
        """Make a backup; whether it could be, which only another format prevents."""
        try:
            report = backup(self.world.store, now=self.world.start + 60 * minute, conditions=self.conditions)
        except SchemaError:
            assert DESCRIPTION in self.touched
            return False
        assert report.status is ExitStatus.DONE
        self.known[report.id] = self.world.newest
        return True

    def rotate(self) -> bool:
        """Two hours later, with rules that keep every backup; whether there was nothing that cannot be judged."""
        try:
            report = rotate_backups(self.world.store, now=self.world.start + 2 * HOUR, conditions=self.conditions)
        except DamagedError:
            return False
        assert not report.removed
        return report.status is ExitStatus.DONE


def names(findings: tuple[Finding, ...], identity: str) -> bool:
    """Whether any finding tells that a backup is touched."""
    return any(identity in one.snapshots or one.key == f"snapshots/{identity}.json.gz" for one in findings)


def try_case(world: World, harm: Harm, number: int) -> tuple[Case, set[str], set[str]] | None:
    """Damage, verify, restore, back up; the case, what is whole now, what is gone. None: it has another format now."""
    case = Case(world, f"{harm.__name__} {number}")
    case.damage(harm)
    blind = case.random.random() < 0.2
    if blind:
        case.back_up(3)  # by somebody who does not know of the damage
    findings, whole = case.verify(), case.whole()
    if findings is None:
        assert not whole
        assert not case.back_up(4)
        return None
    assert not findings or blind or case.touched & {one.key for one in findings}
    gone = {identity for identity in case.known if not (case.place / f"snapshots/{identity}.json.gz").exists()}
    for identity in case.known.keys() - whole - gone:
        assert names(findings, identity)
        lost = case.lost(identity)
        if lost is not None:
            assert lost == {one.path for finding in findings for one in finding.files if one.snapshot == identity}
    assert case.back_up(5)
    mended = case.whole()
    assert whole < mended
    there = {node[0] for node in world.newest.values()}
    for identity in case.known.keys() - gone:
        assert all(case.known[identity][path][0] not in there for path in case.lost(identity) or ())
    return case, mended, gone


def check_upkeep(case: Case, whole: set[str], gone: set[str]) -> None:
    """After a backup, only what the store has no more is still amiss; and a rotation clears away the rest."""
    findings = case.verify()
    assert findings is not None
    harmed = {identity for identity in case.known if names(findings, identity)}
    assert whole == case.known.keys() - harmed - gone
    rotated = case.rotate()
    assert whole <= case.whole()
    if not harmed:
        assert rotated
        assert case.verify() == ()


def try_cases(world: World, harm: Harm, numbers: Iterable[int]) -> None:
    for number in numbers:
        tried = try_case(world, harm, number)
        if tried is not None:
            check_upkeep(*tried)


@pytest.mark.parametrize("harm", HARMS)
def test_damage_is_found_and_named_or_harmless(world: World, harm: Harm) -> None:
    for number in range(FEW):
        try_case(world, harm, number)


@pytest.mark.parametrize("harm", MENDABLE)
def test_what_can_be_mended_is_after_a_backup_and_a_rotation(world: World, harm: Harm) -> None:
    try_cases(world, harm, range(FEW, 2 * FEW))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("harm", MENDABLE)
def test_the_same_goes_for_many_more_places(world: World, harm: Harm, part: int) -> None:
    try_cases(world, harm, range(2 * FEW + part, MANY, 2))


@pytest.mark.slow
@pytest.mark.parametrize("files", ["repository.json", "snapshots/*", "index/*"])
def test_no_byte_of_a_small_file_changes_unseen(world: World, files: str) -> None:
    for path in sorted(world.repository.glob(files)):
        for offset in range(0, path.stat().st_size, 2):
            case = Case(world, f"{files} {offset}")
            flip_at(case.place / path.relative_to(world.repository), offset, 1 << case.random.randrange(8))
            case.touched.add(path.name)
            assert case.verify() != () or case.whole() == case.known.keys()


def flip_at(path: Path, offset: int, bits: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= bits
    path.write_bytes(data)


@pytest.mark.parametrize("folder", ["index", "snapshots", "packs"])
def test_without_a_whole_folder_backups_go_on(world: World, folder: str) -> None:
    case = Case(world)
    shutil.rmtree(case.place / folder)
    assert case.verify() is not None
    whole = case.whole()
    assert whole == (case.known.keys() if folder == "index" else set())
    assert case.back_up(5)
    assert case.whole() - whole == case.known.keys() - world.backups.keys()


def mend(case: Case) -> tuple[Finding, ...] | None:
    """What is still found when damage was looked for, a backup was made, and two hours later a rotation."""
    findings = case.verify()
    assert findings
    assert all(one.advice for one in findings)
    assert case.back_up(5)
    assert case.rotate()
    assert case.whole() == case.known.keys()
    return case.verify()


def test_a_damaged_index_is_put_right(world: World) -> None:
    for harm in (flip, cut):
        case = Case(world)
        harm(case.random, next(case.place.glob("index/*")), [])
        assert mend(case) == ()


def test_a_pack_that_lost_its_last_byte_is_put_right_and_every_backup_in_it_stays_whole(world: World) -> None:
    for place in range(len([*world.repository.glob("packs/*/*")])):
        case = Case(world)
        path = sorted(case.place.glob("packs/*/*"))[place]
        os.truncate(path, path.stat().st_size - 1)
        assert case.whole() == case.known.keys()
        assert mend(case) == ()


def test_a_pack_of_which_little_is_damaged_is_put_right(tmp_path: Path) -> None:
    path = tmp_path / "store/alpha/notes.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(Random(1).randbytes(1_000_000))
    store = open_store(tmp_path / "store")
    start = time.time()
    made = backup(store, now=start)
    case = Case(World(store, store.keep, {made.id: look(store.root)}, start))
    flip_at(next(case.place.glob("packs/*/*")), 1000, 1)
    assert mend(case) == ()


def test_an_id_that_is_not_that_of_the_backups_is_put_right(world: World) -> None:
    case = Case(world)
    path = case.place / DESCRIPTION
    described = json.loads(path.read_bytes())
    path.write_text(json.dumps(described | {"id": str(UUID(int=UUID(described["id"]).int ^ 1))}))
    assert mend(case) == ()
