"""Nothing leaves without a way back: undo puts records where they stood, byte for byte, whatever happened since."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aml.errors import ExitStatus, NotFoundError, UsageError
from aml.ledger.undo import FileUndo
from aml.store.open import open_store
from aml.workflows.undo import prune_history
from tests.contract.pruning import UNLIMITED, fresh, removed_ids, run_prune, run_undo, stale
from tests.support.records import solution
from tests.support.stores import Form, encode_array, gunzipped, make_store, read_array, record_spans, write_array

# s: goes, f: stays
MIXED = [
    stale("s0"),
    fresh("f1"),
    stale("s2"),
    stale("s3"),
    fresh("f4"),
    fresh("f5"),
    stale("s6"),
    fresh("f7"),
    stale("s8"),
    stale("s9"),
]
ORDER = [str(one["id"]) for one in MIXED]
GONE = [ident for ident in ORDER if ident.startswith("s")]


def _pruned(tmp_path: Path, records: list[Any] | None = None, form: Form = "plain") -> tuple[Path, str]:
    """A store from which every stale record was pruned, and the run that did it."""
    memory = make_store(tmp_path, {"alpha": {"patterns": records or MIXED}}, form=form)
    run = run_prune(memory, max_loss=UNLIMITED).run
    assert run is not None
    return memory, run


def _file(memory: Path) -> Path:
    return memory / "alpha/patterns.json"


def _ids(memory: Path) -> list[Any]:
    return [one["id"] if isinstance(one, dict) else one for one in read_array(_file(memory))]


def _only(memory: Path, run: str, *ids: str) -> FileUndo:
    (file,) = run_undo(memory, run, *ids).files
    return file


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_undo_gives_back_the_file_as_it_was(tmp_path: Path, form: Form) -> None:
    memory, run = _pruned(tmp_path, form=form)
    assert _ids(memory) == ["f1", "f4", "f5", "f7"]
    report = run_undo(memory, run)
    assert (report.status, report.target, report.files[0].restored) == (ExitStatus.DONE, run, 6)
    assert gunzipped(_file(memory).read_bytes()) == encode_array(MIXED)
    assert _file(memory).read_bytes().startswith(b"\x1f\x8b") == (form == "gzip")


CHANGES: dict[str, tuple[Callable[[list[Any]], list[Any]], list[str]]] = {
    "appended": (lambda found: [*found, fresh("new")], [*ORDER, "new"]),
    "put in front": (lambda found: [fresh("new"), *found], ["s0", "new", *ORDER[1:]]),
    "removed a neighbour": (lambda found: found[:1] + found[2:], [one for one in ORDER if one != "f4"]),
    "removed all neighbours": (lambda found: [], GONE),
    "removed the first": (lambda found: found[1:], [one for one in ORDER if one != "f1"]),
    "removed the last": (lambda found: found[:-1], [one for one in ORDER if one != "f7"]),
    "changed a neighbour": (lambda found: [found[0] | {"note": 1}, *found[1:]], ORDER),
    "put one between": (
        lambda found: [*found[:2], fresh("new"), *found[2:]],
        ["s0", "f1", "s2", "s3", "f4", "new", "f5", "s6", "f7", "s8", "s9"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_undo_finds_the_place_after_an_agent_changed_the_file(tmp_path: Path, name: str) -> None:
    change, expected = CHANGES[name]
    memory, run = _pruned(tmp_path)
    write_array(_file(memory), change(read_array(_file(memory))))
    kept = Counter(record_spans(_file(memory)))
    assert _only(memory, run).restored == 6
    assert _ids(memory) == expected
    original = dict(zip(ORDER, record_spans_of(tmp_path), strict=True))
    found = dict(zip(_ids(memory), record_spans(_file(memory)), strict=True))
    assert all(found[ident] == original[ident] for ident in GONE), "byte for byte"
    assert kept - Counter(record_spans(_file(memory))) == Counter(), "what the agent wrote stays"


def record_spans_of(tmp_path: Path) -> list[bytes]:
    write_array(tmp_path / "original.json", MIXED)
    return record_spans(tmp_path / "original.json")


def test_an_id_that_was_made_anew_is_left_and_reported(tmp_path: Path) -> None:
    memory, run = _pruned(tmp_path)
    write_array(_file(memory), [*read_array(_file(memory)), fresh("s2", note="anew")])
    report = run_undo(memory, run)
    assert report.files[0].conflicts == ["s2"]
    assert report.files[0].restored == 5
    assert report.status is ExitStatus.PARTIAL
    assert _ids(memory).count("s2") == 1
    assert next(one for one in read_array(_file(memory)) if one["id"] == "s2")["note"] == "anew"


def test_after_the_conflict_is_gone_undo_brings_the_rest(tmp_path: Path) -> None:
    memory, run = _pruned(tmp_path)
    write_array(_file(memory), [*read_array(_file(memory)), fresh("s2", note="anew")])
    run_undo(memory, run)
    write_array(_file(memory), [one for one in read_array(_file(memory)) if one.get("note") != "anew"])
    again = run_undo(memory, run)
    assert (again.files[0].restored, again.files[0].already_there, again.status) == (1, 5, ExitStatus.DONE)
    assert _file(memory).read_bytes() == encode_array(MIXED)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_single_records_come_back_in_place_in_any_order(tmp_path: Path, number: int) -> None:
    for count, chosen in enumerate(itertools.islice(itertools.permutations(GONE, number), 0, 60, 7)):
        memory, run = _pruned(tmp_path / str(count))
        for ident in chosen:
            assert _only(memory, run, ident).restored == 1
        assert _ids(memory) == [ident for ident in ORDER if ident.startswith("f") or ident in chosen]


def test_the_rest_of_a_run_comes_back_after_a_part(tmp_path: Path) -> None:
    memory, run = _pruned(tmp_path)
    assert _only(memory, run, "s3", "s9").restored == 2
    assert (_only(memory, run).restored, _file(memory).read_bytes()) == (4, encode_array(MIXED))


def test_undo_twice_does_nothing_more(tmp_path: Path) -> None:
    memory, run = _pruned(tmp_path)
    run_undo(memory, run)
    before = _file(memory).stat().st_mtime_ns
    again = run_undo(memory, run)
    assert (again.files[0].restored, again.files[0].already_there, again.status) == (0, 6, ExitStatus.DONE)
    assert _file(memory).stat().st_mtime_ns == before


def test_a_unique_beginning_of_a_run_id_will_do(tmp_path: Path) -> None:
    memory, run = _pruned(tmp_path)
    assert _only(memory, run[:8]).restored == 6


def test_an_unknown_run_names_the_nearest(tmp_path: Path) -> None:
    memory, run = _pruned(tmp_path)
    with pytest.raises(NotFoundError) as caught:
        run_undo(memory, run[:-1] + "x")
    assert run in str(caught.value)
    with pytest.raises(NotFoundError, match="no runs yet"):
        run_undo(make_store(tmp_path / "other", {"alpha": {}}), run)


def test_a_beginning_that_fits_several_runs_names_them(tmp_path: Path) -> None:
    memory, run = _pruned(tmp_path)
    second = run_prune(memory, max_loss=UNLIMITED).run
    assert second is not None
    with pytest.raises(NotFoundError) as caught:
        run_undo(memory, run[:4])
    assert run in str(caught.value)
    assert second in str(caught.value)


def test_an_unknown_record_names_the_nearest_and_nothing_comes_back(tmp_path: Path) -> None:
    memory, run = _pruned(tmp_path)
    before = _file(memory).read_bytes()
    with pytest.raises(NotFoundError, match="s"):
        run_undo(memory, run, "s2", "s")
    assert _file(memory).read_bytes() == before


def test_an_undo_cannot_be_undone_as_if_it_were_a_prune(tmp_path: Path) -> None:
    memory, run = _pruned(tmp_path)
    undo = run_undo(memory, run).run
    with pytest.raises(UsageError, match="not a prune"):
        run_undo(memory, undo)


def test_a_run_that_removed_nothing_has_nothing_to_undo(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    run = run_prune(memory).run
    with pytest.raises(NotFoundError, match="removed nothing"):
        run_undo(memory, run)


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_undo_makes_a_deleted_file_again(tmp_path: Path, form: Form) -> None:
    kinds: dict[str, list[object]] = {"patterns": list(MIXED), "solutions": [solution(id="s")]}
    memory = make_store(tmp_path, {"alpha": kinds}, form=form)
    run = run_prune(memory, max_loss=UNLIMITED).run
    _file(memory).unlink()
    assert run_undo(memory, run).files[0].restored == 6
    assert _ids(memory) == GONE
    assert _file(memory).read_bytes().startswith(b"\x1f\x8b") == (form == "gzip"), "in the form of its neighbours"


def test_undo_makes_a_deleted_agent_folder_again(tmp_path: Path) -> None:
    memory, run = _pruned(tmp_path)
    shutil.rmtree(memory / "alpha")
    preview = run_undo(memory, run, dry_run=True)
    assert not (memory / "alpha").exists()
    report = run_undo(memory, run)
    assert preview.files == report.files
    assert report.status is ExitStatus.DONE
    assert _ids(memory) == GONE


def test_a_missing_archive_is_an_error_that_names_it(tmp_path: Path) -> None:
    memory, run = _pruned(tmp_path)
    before = _file(memory).read_bytes()
    (archive,) = memory.with_name("memory-backup").rglob("*.jsonl.gz")
    data = archive.read_bytes()
    for broken in (None, b"", data[:-5], data + b"x", data.replace(data[30:34], b"0000")):
        archive.unlink(missing_ok=True)
        if broken is not None:
            archive.write_bytes(broken)
        with pytest.raises(Exception, match=archive.name) as caught:
            run_undo(memory, run)
        assert type(caught.value).__module__ == "aml.errors"
        assert _file(memory).read_bytes() == before
    archive.write_bytes(data)
    assert _only(memory, run).restored == 6


def _pruned_in_two_runs(tmp_path: Path) -> tuple[Path, list[str]]:
    """A store pruned twice by half; the least valuable go first, so the two runs interleave in the file."""
    records = [stale(f"r{number}", success=0.1 if number in (1, 4, 5, 8) else 0.6) for number in range(10)]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    first = run_prune(memory, max_loss=0.4)
    second = run_prune(memory, max_loss=0.7)
    assert removed_ids(first) == ["r1", "r4", "r5", "r8"]
    assert removed_ids(second) == ["r0", "r2", "r3"]
    return memory, [str(first.run), str(second.run)]


def test_two_runs_undone_the_last_one_first(tmp_path: Path) -> None:
    memory, (first, second) = _pruned_in_two_runs(tmp_path)
    run_undo(memory, second)
    run_undo(memory, first)
    assert _ids(memory) == [f"r{number}" for number in range(10)]


def test_two_runs_undone_the_first_one_first(tmp_path: Path) -> None:
    """Neighbours of one run went with the other: every record comes back, and the order of each run's own stays."""
    memory, (first, second) = _pruned_in_two_runs(tmp_path)
    expected = Counter(f"r{number}" for number in range(10))
    assert run_undo(memory, first).status is ExitStatus.DONE
    assert run_undo(memory, second).status is ExitStatus.DONE
    assert Counter(_ids(memory)) == expected
    for own in (["r1", "r4", "r5", "r8"], ["r0", "r2", "r3"]):
        assert [ident for ident in _ids(memory) if ident in own] == own


def test_the_journal_knows_what_each_run_took_and_gave_back(tmp_path: Path) -> None:
    memory, run = _pruned(tmp_path)
    undo = run_undo(memory, run, "s3").run
    newest, oldest = prune_history(open_store(memory))
    assert (newest.id, newest.operation, newest.target, newest.state) == (undo, "undo", run, "done")
    assert [key.id for file in newest.files for key in file.restored] == ["s3"]
    assert (oldest.id, oldest.operation, oldest.state) == (run, "prune", "done")
    assert sorted(str(key.id) for file in oldest.files for key in file.removed) == GONE


def test_two_versions_of_one_id_in_one_file(tmp_path: Path) -> None:
    """The old version goes and comes back; the newer one, which stayed, is no conflict."""
    records = [fresh("x", note="newer"), stale("x", note="older"), fresh("y"), fresh("z")]
    memory, run = _pruned(tmp_path, records)
    assert [one.get("note") for one in read_array(_file(memory))] == ["newer", None, None]
    report = run_undo(memory, run)
    assert (report.files[0].restored, report.files[0].conflicts) == (1, [])
    assert _file(memory).read_bytes() == encode_array(records)


def test_two_versions_of_one_id_that_both_went(tmp_path: Path) -> None:
    records = [stale("x", note=1), fresh("y"), stale("x", note=2), fresh("z")]
    memory, run = _pruned(tmp_path, records)
    assert _ids(memory) == ["y", "z"]
    assert _only(memory, run).restored == 2
    assert _file(memory).read_bytes() == encode_array(records)


def test_identical_duplicates_go_and_come_back_each_for_itself(tmp_path: Path) -> None:
    records = [stale("x"), stale("x"), fresh("y"), stale("x"), fresh("z"), fresh("z")]
    memory, run = _pruned(tmp_path, records)
    assert _ids(memory) == ["y", "z", "z"]
    assert _only(memory, run).restored == 3
    assert _file(memory).read_bytes() == encode_array(records)
    assert _only(memory, run).already_there == 3


@pytest.mark.parametrize("nameless", [False, True])
def test_identical_records_go_together_or_stay_together(tmp_path: Path, nameless: bool) -> None:
    """Were one of them left, nobody could tell later how many are missing."""
    twin = {key: value for key, value in stale("x").items() if key != "id" or not nameless}
    records = [twin, fresh("a"), twin, fresh("b"), twin, fresh("c"), twin, fresh("d")]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    report = run_prune(memory, max_loss=0.25)
    assert (report.total("removed"), report.total("deferred")) == (0, 4)
    assert _file(memory).read_bytes() == encode_array(records)
    run = run_prune(memory, max_loss=0.5).run
    assert _ids(memory) == ["a", "b", "c", "d"]
    assert _only(memory, str(run)).restored == 4
    assert _file(memory).read_bytes() == encode_array(records)


def test_records_without_an_id_go_and_come_back(tmp_path: Path) -> None:
    nameless = stale("x")
    del nameless["id"]
    records = [nameless, fresh("a"), nameless | {"id": None}, nameless | {"id": 5}, nameless | {"id": {}}, fresh("b")]
    memory, run = _pruned(tmp_path, records)
    assert _ids(memory) == ["a", "b"]
    assert _only(memory, run).restored == 4
    assert _file(memory).read_bytes() == encode_array(records)
