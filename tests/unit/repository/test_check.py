"""Verification: every flipped bit is found or changes nothing, and a finding says what it touches."""

from __future__ import annotations

import json
from random import Random

import pytest

from aml.errors import AmlError, DamagedError, NotFoundError
from aml.repository.check import AffectedFile, Tier, check
from aml.repository.manifest import FORMAT, FileEntry, Listing
from aml.repository.repository import DESCRIPTION_KEY, create, reading, writing
from aml.repository.snapshots import Snapshot, snapshot_key
from tests.support.destinations import InMemory
from tests.unit.repository.repositories import HOUR, NOW, Tree, back_up, contents, copy_of, manifest_of, records

TREE = {"alice/patterns.json": records(300), "bob/solutions.json": records(40, seed=2), "config.json": b"{}"}
LATER = {**TREE, "bob/solutions.json": records(60, seed=3)}


@pytest.fixture(scope="module")
def pristine() -> InMemory:
    destination = InMemory()
    back_up(destination, TREE)
    back_up(destination, LATER, moment=NOW + HOUR)
    return destination


def flipped(destination: InMemory, key: str, bit: int) -> InMemory:
    copy = copy_of(destination)
    data = bytearray(copy.values[key])
    data[bit >> 3] ^= 1 << (bit & 7)
    copy.values[key] = bytes(data)
    return copy


def restored(destination: InMemory) -> list[Tree]:
    """Everything that can be read of each backup. Raises AmlError where something cannot."""
    with reading(destination) as reader:
        found = reader.snapshots()
        if found.flaws:
            raise AmlError(found.flaws[0].reason)
        return [contents(reader, snapshot) for snapshot in found.readable]


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_is_found_or_changes_nothing(pristine: InMemory, seed: int) -> None:
    rng = Random(seed)
    keys = sorted(pristine.values)
    for _ in range(400):
        key = rng.choice(keys)
        damaged = flipped(pristine, key, rng.randrange(8 * len(pristine.values[key])))
        if check(damaged, "packs").findings:
            continue
        assert restored(damaged) == [TREE, LATER], key


@pytest.mark.parametrize("kind", ["repository.json", "snapshots/", "index/"])
def test_every_bit_of_the_small_files(pristine: InMemory, kind: str) -> None:
    for key in [key for key in pristine.values if key.startswith(kind)][:1]:
        for bit in range(0, 8 * len(pristine.values[key]), 1 if kind == DESCRIPTION_KEY else 11):
            damaged = flipped(pristine, key, bit)
            if not check(damaged, "quick").findings:
                assert restored(damaged) == [TREE, LATER]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_read_of_a_damaged_pack_is_right_or_refused(pristine: InMemory, seed: int) -> None:
    """Never wrong data without an error; and deep finds what packs finds."""
    rng = Random(seed)
    packs = [key for key in pristine.values if key.startswith("packs/")]
    for _ in range(40):
        key = rng.choice(packs)
        damaged = flipped(pristine, key, rng.randrange(8 * len(pristine.values[key])))
        assert check(damaged, "deep").findings
        try:
            assert restored(damaged) == [TREE, LATER]
        except AmlError:
            continue


def damaged_member(pristine: InMemory) -> tuple[InMemory, str]:
    """A repository whose first member is damaged, which only the first file's chunks are in."""
    with reading(pristine) as reader:
        listing = reader.read_listing(reader.snapshots().readable[0].manifest.listings[0])
        (entry, *_) = [one for one in listing.files if one.path == "alice/patterns.json"] or listing.files
        (place,) = reader.index.places(bytes.fromhex(entry.chunks[0]))
    key = f"packs/{place.pack[:2]}/{place.pack}.gz"
    return flipped(pristine, key, 8 * (place.member_offset + place.member_packed // 2)), key


@pytest.mark.parametrize("tier", ["packs", "deep", "sample"])
def test_a_finding_names_pack_chunks_backups_and_files(pristine: InMemory, tier: Tier) -> None:
    damaged, key = damaged_member(pristine)
    report = check(damaged, tier, sample=1.0)
    (finding,) = report.findings
    assert finding.key == key
    assert finding.chunks
    assert len(finding.snapshots) == 2
    assert {(one.agent, one.path) for one in finding.files} >= {("alice", "alice/patterns.json")}
    assert {one.snapshot for one in finding.files} == set(finding.snapshots)
    assert "aml backup create" in finding.advice
    assert check(damaged, "quick").findings == []


def test_a_missing_pack_is_found_by_the_quick_tier(pristine: InMemory) -> None:
    damaged = copy_of(pristine)
    keys = [entry.key for entry in damaged.entries("packs/")]
    damaged.delete(keys[0])
    findings = {finding.key: finding for finding in check(damaged, "quick").findings}
    assert findings[keys[0]].problem == "it is missing"
    assert len(findings) > 1


def test_a_pack_whose_size_is_wrong_is_found_by_the_quick_tier(pristine: InMemory) -> None:
    damaged = copy_of(pristine)
    key = damaged.entries("packs/")[0].key
    damaged.values[key] += b"\0"
    assert key in {finding.key for finding in check(damaged, "quick").findings}


def test_a_damaged_manifest_is_named_and_others_are_read(pristine: InMemory) -> None:
    with reading(pristine) as reader:
        first, second = reader.snapshots().readable
    damaged = flipped(pristine, snapshot_key(first.id), 400)
    (finding,) = check(damaged, "deep").findings
    assert finding.key == snapshot_key(first.id)
    with reading(damaged) as reader:
        assert contents(reader, second) == LATER


def test_a_description_of_another_repository_is_found(pristine: InMemory) -> None:
    damaged, other = copy_of(pristine), InMemory()
    back_up(other, {})
    damaged.values[DESCRIPTION_KEY] = other.values[DESCRIPTION_KEY]
    (finding,) = check(damaged, "quick").findings
    assert finding.key == DESCRIPTION_KEY
    assert len(finding.snapshots) == 2


def test_nothing_at_all_is_a_finding_and_no_error() -> None:
    assert [finding.key for finding in check(InMemory(), "deep").findings] == [DESCRIPTION_KEY]


def test_garbage_in_every_file_is_no_error(pristine: InMemory) -> None:
    rng = Random(2)
    for garbage in (b"", b"\x1f\x8b", rng.randbytes(300), b"{}", b"null"):
        damaged = copy_of(pristine)
        damaged.values = dict.fromkeys(damaged.values, garbage)
        assert len(check(damaged, "deep").findings) >= len(damaged.values) - 1


def test_a_sample_begins_with_what_was_checked_longest_ago() -> None:
    destination = InMemory()
    for number in range(6):
        back_up(destination, {"a/x.json": records(20, seed=number)}, moment=NOW + number * HOUR)
    packs = sorted(check(destination, "packs").packs)
    assert len(packs) == 6
    checked = {name: 100.0 + place for place, name in enumerate(packs)}
    del checked[packs[4]]
    assert check(destination, "sample", sample=0.01, checked=checked).packs == [packs[4]]
    assert check(destination, "sample", sample=0.5, checked=checked).packs == [packs[4], packs[0], packs[1]]


def test_what_was_no_json_is_noted_and_no_damage() -> None:
    destination = InMemory()
    back_up(destination, {"a/cut.json": b'[{"a": 1}, {"b"', "a/nan.json": b'[{"a": NaN}]', "a/x.md": b"# x"})
    report = check(destination, "deep")
    assert report.findings == []
    assert len(report.notes) == 1
    assert "a/cut.json" in report.notes[0]


def three_backups() -> tuple[InMemory, list[Snapshot]]:
    """Three backups with a pack and a file each that no other has; the last two share one more."""
    destination = InMemory()
    shared = records(40, seed=9)
    trees: list[Tree] = [
        {"a/one.json": records(400, seed=1)},
        {"a/two.json": records(40, seed=2), "a/shared.json": shared},
        {"a/three.json": records(40, seed=3), "a/shared.json": shared},
    ]
    return destination, [back_up(destination, tree, moment=NOW + n * HOUR) for n, tree in enumerate(trees)]


@pytest.mark.parametrize("tier", ["quick", "packs", "deep", "sample"])
def test_one_backup_alone_can_be_checked(tier: Tier) -> None:
    destination, snapshots = three_backups()
    with reading(destination) as reader:
        packs = [
            {
                place.pack
                for reference in snapshot.manifest.listings
                for entry in reader.read_listing(reference).files
                for name in (*entry.chunks, *reference.chunks)
                for place in reader.index.places(bytes.fromhex(name))
            }
            for snapshot in snapshots
        ]
    assert len(packs[2]) == 2
    report = check(destination, tier, sample=1.0, snapshot=snapshots[2].id)
    assert (report.findings, report.snapshots, report.snapshot) == ([], 1, snapshots[2].id)
    assert set(report.packs) == (packs[2] if tier != "quick" else set())
    (own,) = packs[0]
    key = f"packs/{own[:2]}/{own}.gz"
    damaged = flipped(destination, key, 8 * 500)
    damaged.values[snapshot_key(snapshots[1].id)] = b"?"
    assert check(damaged, tier, sample=1.0, snapshot=snapshots[2].id).findings == []
    findings = check(damaged, tier, sample=1.0, snapshot=snapshots[0].id).findings
    assert [finding.key for finding in findings] == ([key] if tier != "quick" else [])
    assert all(finding.chunks and finding.snapshots == (snapshots[0].id,) for finding in findings)
    (finding,) = check(damaged, tier, snapshot=snapshots[1].id).findings
    assert finding.key == snapshot_key(snapshots[1].id)
    damaged.delete(key)
    assert [one.key for one in check(damaged, tier, snapshot=snapshots[0].id).findings] != []
    assert check(damaged, tier, snapshot=snapshots[2].id).findings == []


def test_a_backup_that_is_not_there_cannot_be_checked(pristine: InMemory) -> None:
    with pytest.raises(NotFoundError, match="no backup"):
        check(pristine, "quick", snapshot="20261121T031332.123456Z-00000000")


def test_what_another_pack_holds_whole_is_no_lost_file() -> None:
    destination = InMemory()
    back_up(destination, TREE)
    (pack,) = [entry.key for entry in destination.entries("packs/")]
    damaged = flipped(destination, pack, 8 * 500)
    chunks = check(damaged, "deep").findings[0].chunks
    assert chunks
    with writing(damaged) as writer:
        writer.distrust(map(bytes.fromhex, chunks))
        for data in TREE.values():
            writer.store_document(data)
        writer.flush()
    for tier in ("packs", "deep"):
        (finding,) = check(damaged, tier).findings
        assert (finding.key, finding.chunks, finding.snapshots, finding.files) == (pack, (), (), ())
    assert restored(damaged) == [TREE]


@pytest.mark.parametrize("data", [b"", b'{"a": 1}', b"{" + b'"a":\n[1, 2, 3],\n' * 9000 + b'"b": 2}'])
def test_a_listing_that_tells_a_wrong_hash_is_found_where_that_is_cheap(data: bytes) -> None:
    destination = InMemory()
    identity = create(destination, NOW).id
    with writing(destination) as writer:
        stored = writer.store_document(data)
        entry = FileEntry("a/x.json", stored.size, 0o600, 0, "ab" * 32, stored.chunks)
        listings = [writer.store_listing("a", Listing(FORMAT, [], [entry]))]
        snapshot = writer.commit(manifest_of(identity, listings=listings))
    assert check(destination, "packs").findings == []
    (finding,) = check(destination, "deep").findings
    assert "make another file" in finding.problem
    assert finding.files == (AffectedFile(snapshot.id, "a", "a/x.json"),)
    with pytest.raises(DamagedError):
        restored(destination)


def test_json_is_parsed_in_every_form_it_is_cut_in() -> None:
    destination = InMemory()
    values = [{"id": number, "text": "x" * 900} for number in range(100)]
    forms = {
        "lines": json.dumps(values, indent=2),
        "compact": json.dumps(values),
        "object": json.dumps({"all": values}, indent=2),
        "nan": json.dumps([*values, {"a": float("nan")}], indent=2),
    }
    good = {f"a/{name}.json": text.encode() for name, text in forms.items()}
    bad = {path.replace("a/", "b/"): data[:-5] for path, data in good.items()}
    back_up(destination, {**good, **bad})
    report = check(destination, "deep")
    assert report.findings == []
    assert sorted(note.split()[0] for note in report.notes) == sorted(bad)
