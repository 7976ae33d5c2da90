"""Reports of real stores: what they say agrees with what was done, and making one changes nothing."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from aml.backup.options import BackupOptions
from aml.demo.sample import write_sample_store
from aml.monitor.removals import look_at_removals
from aml.monitor.report.data import ReportData
from aml.monitor.report.health import urgent
from aml.monitor.report.markdown import markdown_report
from aml.monitor.report.memory import thinned
from aml.monitor.report.page import html_report
from aml.monitor.report.text import text_report, wide
from aml.monitor.samples import Sample, append_sample
from aml.store.open import open_store
from aml.workflows.backup import backup
from tests.contract.collecting import gc_run
from tests.contract.pruning import UNLIMITED, fresh, run_prune, run_undo, stale
from tests.support.records import NOW, pattern
from tests.support.reports import ODD_NAMES, markdown_tables, report_of
from tests.support.stores import make_store, tree_digest

DAY = 86_400.0


def empty(folder: Path) -> Path:
    return make_store(folder, {})


def sample(folder: Path) -> Path:
    memory = folder / ".loom" / "memory"
    write_sample_store(memory, now=NOW)
    return memory


def damaged(folder: Path) -> Path:
    memory = make_store(folder, {"alpha": {"patterns": [fresh("a")], "solutions": []}, "beta": {"patterns": []}})
    (memory / "alpha/solutions.json").write_bytes(b"\x1f\x8b half a gzip")
    (memory / "beta/patterns.json").write_bytes(b'[{"id": 1')
    (memory / "beta/decisions.json").write_bytes(b"")
    (memory.parent / "memory.aml").mkdir()
    (memory.parent / "memory.aml/metrics.jsonl").write_bytes(b"\xff\xfe nothing\n{}\n")
    (memory.parent / "memory.aml/alerts.json").write_bytes(b"{")
    return memory


def many(folder: Path) -> Path:
    names = [*(name.replace("/", "-") for name in ODD_NAMES), *(f"agent-{number:02}" for number in range(41))]
    return make_store(
        folder,
        {name: {"patterns": [pattern(id=f"p{n}") for n in range(place % 4)]} for place, name in enumerate(names)},
    )


@pytest.mark.parametrize("made", [empty, sample, damaged, many])
def test_every_form_of_a_report_is_made_of_every_store_and_nothing_is_written(tmp_path: Path, made: object) -> None:
    memory = made(tmp_path)  # type: ignore[operator]
    before = tree_digest(tmp_path)
    report = report_of(memory)
    assert tree_digest(tmp_path) == before
    root = ElementTree.fromstring(html_report(report))  # noqa: S314 - our own
    assert [one.get("aria-labelledby") for one in root.iter("section")].count(None) == 0
    assert max(map(wide, text_report(report).splitlines())) <= 80
    for table in markdown_tables(markdown_report(report)):
        assert {len(row) for row in table} == {len(table[0])}


def test_an_empty_store_is_told_as_empty_and_sound(tmp_path: Path) -> None:
    report = report_of(empty(tmp_path))
    assert report.overall.state in ("empty", "warning")
    page = html_report(report)
    for told in (
        "No agent has a folder in this store yet.",
        "No run has removed anything yet.",
        "There are no alerts.",
    ):
        assert told in page


def test_the_worst_comes_first_with_what_mends_it(tmp_path: Path) -> None:
    report = report_of(damaged(tmp_path))
    assert report.overall.state == "critical"
    assert report.findings[0].level.word == "critical"
    lines = text_report(report).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("critical  integrity: "))
    assert first < 8
    assert any("aml " in line for line in lines[first : first + 4])
    assert any("alerts" in note for note in report.notes)


def test_where_findings_are_many_each_check_has_one_at_the_top_and_none_hides_another(tmp_path: Path) -> None:
    agents = {f"agent-{n}": {"patterns": [fresh("a"), None], "solutions": []} for n in range(6)}
    memory = make_store(tmp_path, agents)
    for name in agents:
        (memory / name / "solutions.json").write_bytes(b"\x1f\x8b half a gzip")
    report = report_of(memory)
    first, left = urgent(report)
    assert len({(one.finding.check, one.finding.level) for one in first}) == len(first)
    assert [one.others for one in first[:2]] == [5, 5]
    assert sum(1 + one.others for one in first) + left == len(report.findings)
    assert "and 5 more like it" in text_report(report)
    assert urgent(report, most=1) == (first[:1], len(report.findings) - 6)
    few = report_of(damaged(tmp_path / "few"))
    assert [one.finding for one in urgent(few, most=100)[0]] == list(few.findings)


def test_no_check_tells_of_an_index_that_the_report_brought_up_to_date(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    assert any(one.check == "index" for one in report_of(memory).health.findings)
    assert not any(one.check == "index" for one in report_of(memory, record=True).health.findings)


def test_what_is_to_be_typed_is_whole_in_the_text(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [*(stale(f"old-{n}") for n in range(3)), fresh("new")]}})
    run = run_prune(memory, max_loss=UNLIMITED).run
    report = report_of(memory)
    lines = text_report(report).splitlines()
    assert any(line.startswith(str(run)) for line in lines)
    assert all(any(line.startswith(one.id) for line in lines) for one in report.backups)
    assert f"Commands are to be typed in {tmp_path}." in "\n".join(lines) or len(str(tmp_path)) > 40


def test_what_a_run_removed_is_told_by_rule_until_it_is_put_back(tmp_path: Path) -> None:
    records = [*(stale(f"old-{n}") for n in range(3)), pattern(id="bad", success=0.1, created_days=60), fresh("new")]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}, "beta": {"patterns": [stale("b"), fresh("c")]}})
    done = run_prune(memory, max_loss=UNLIMITED)
    (told,) = report_of(memory).removals
    by_rule: dict[str, int] = {}
    for record in done.records:
        by_rule[record.rule] = by_rule.get(record.rule, 0) + 1
    assert (told.run, told.rules, told.uncounted) == (done.run, by_rule, 0)
    assert (told.records, told.agents, told.put_back) == (done.total("removed"), 2, 0)
    assert told.bytes_before > told.bytes_after

    run_undo(memory, str(done.run))
    (told,) = report_of(memory).removals
    assert told.put_back == told.records
    page = html_report(report_of(memory))
    assert f"{told.put_back} put back since" in page
    assert f"aml prune undo {done.run}" not in page


def test_removals_of_archives_that_are_gone_or_damaged_are_counted_without_a_reason(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {one: {"patterns": [stale(one), fresh("f")]} for one in ("alpha", "beta", "gamma")})
    run_prune(memory, max_loss=UNLIMITED)
    archives = sorted((tmp_path / ".loom/memory-backup/archives").rglob("*.jsonl.gz"))
    archives[0].unlink()
    archives[1].write_bytes(archives[1].read_bytes()[:-9])
    (told,) = look_at_removals(open_store(memory), 5).runs
    assert (told.records, told.uncounted, sum(told.rules.values())) == (3, 2, 1)


def test_a_damaged_journal_hides_no_other_run(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("a"), None, fresh("f")]}})
    first = run_prune(memory, max_loss=UNLIMITED).run
    second = gc_run(memory)
    (tmp_path / f".loom/memory.aml/runs/{second}.json").write_bytes(b"{")
    found = look_at_removals(open_store(memory), 5)
    assert [one.run for one in found.runs] == [first]
    assert len(found.problems) == 1


def test_the_past_is_told_by_samples_and_before_them_by_backups(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    store, now = open_store(memory), NOW.timestamp()
    backup(store, BackupOptions(), now=now - 30 * DAY)
    append_sample(store, Sample(now - 20 * DAY, 5000, records={"patterns": 7}))
    append_sample(store, Sample(now - 10 * DAY, 6000, records={"patterns": 9}))
    backup(store, BackupOptions(), now=now - 5 * DAY)
    report = report_of(memory)
    assert [(one.source, one.records) for one in report.history] == [
        ("backup", None),
        ("sample", 7),
        ("sample", 9),
        ("now", 1),
    ]
    page = html_report(report)
    assert 'id="disk-title"' in page
    assert 'id="records-title"' in page


def test_samples_of_a_clock_that_stood_wrong_do_not_bend_the_line(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    store, now = open_store(memory), NOW.timestamp()
    for days in (-400, 3, 2):
        append_sample(store, Sample(now - days * DAY, 5000))
    times = [one.time for one in report_of(memory).history]
    assert times == sorted(times)
    assert len(times) == 3


def test_a_long_past_is_thinned_and_keeps_its_ends(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    for hours in range(200, 0, -1):
        append_sample(open_store(memory), Sample(NOW.timestamp() - hours * 3600, 5000 + hours))
    history = report_of(memory).history
    few = thinned(history, 40)
    assert len(history) == 201
    assert len(few) == 40
    assert (few[0], few[-1]) == (history[0], history[-1])


def test_a_report_that_may_write_keeps_the_index_and_adds_to_the_history(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    report_of(memory, record=True)
    later = NOW + timedelta(days=1)
    report = report_of(memory, now=later.timestamp(), record=True)
    assert [one.source for one in report.history] == ["sample", "now"]
    assert report.metrics.index.kept


def test_alerts_and_backups_of_another_store_do_not_stop_the_report(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    backup(open_store(memory), BackupOptions(), now=NOW.timestamp())
    shutil.rmtree(tmp_path / ".loom/memory-backup/packs")
    for manifest in (tmp_path / ".loom/memory-backup/snapshots").iterdir():
        manifest.write_bytes(b"nothing")
    report = report_of(memory)
    assert report.backups == ()
    assert isinstance(report, ReportData)
    assert "Damaged" in html_report(report)
