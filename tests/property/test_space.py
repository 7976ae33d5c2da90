"""Whatever a store holds: room is made from the least valuable patterns, within every limit, and can be undone."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from aml.codec.views import view_record
from aml.errors import ExitStatus
from aml.model.record import PatternView, RecordView
from aml.prune.options import Protection
from aml.prune.rules import protection_of
from tests.contract.pruning import UNLIMITED, fates, make_room, moment, run_undo
from tests.property.test_prune import Files, _is_protected, _spans, _written, stores, thrifty

shares = st.sampled_from([0.0, 0.2, 0.5, 0.9, 0.999])
policies = st.sampled_from(["value-density", "value", "confidence"])
strategies = st.sampled_from([("space",), ("time", "space"), ("time", "performance", "space")])


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def spans_of(memory: Path, files: Files) -> dict[tuple[str, str], list[bytes]]:
    return {key: _spans(memory, *key, found) for key, (found, _) in files.items()}


@thrifty
@given(
    files=stores(),
    agent=shares,
    whole=shares,
    policy=policies,
    chosen=strategies,
    max_loss=st.sampled_from([None, 0.3, UNLIMITED]),
)
def test_room_is_made_as_planned_and_undone_in_full(
    files: Files, agent: float, whole: float, policy: str, chosen: tuple[str, ...], max_loss: float | None
) -> None:
    with _written(files) as memory:
        before = spans_of(memory, files)
        limits = {"agent_bytes": agent * 4000, "store_bytes": whole * size_of(memory)}
        words = {"policy": policy, "strategies": chosen, "max_loss": max_loss} | limits
        planned = make_room(memory, dry_run=True, **words)  # type: ignore[arg-type]
        report = make_room(memory, **words)  # type: ignore[arg-type]
        assert fates(report) == fates(planned)
        after = spans_of(memory, files)
        for (name, kind), found in before.items():
            rules = {one.rule for one in report.records if (one.agent, one.kind) == (name, kind)}
            assert kind == "patterns" or "space" not in rules
            for raw in found:
                if _is_protected(raw):
                    assert after[name, kind].count(raw) == found.count(raw)
        for name in {name for name, _ in files}:
            mine = [file for file in report.files if file.agent == name]
            live, removed = sum(file.records for file in mine), sum(file.removed for file in mine)
            share = 1.0 if max_loss == UNLIMITED else 0.3
            assert removed <= max(int(live * share + 1e-9), min(20, live // 2) if max_loss is None else 0)
        short = any(one.short_by for one in report.space)
        assert not short or report.status is not ExitStatus.DONE
        if report.total("removed"):
            assert run_undo(memory, report.run).status is ExitStatus.DONE
        assert spans_of(memory, files) == before


@thrifty
@given(files=stores(), limit=shares)
def test_the_least_valuable_go_first(files: Files, limit: float) -> None:
    with _written(files) as memory:
        before = spans_of(memory, files)
        report = make_room(memory, store_bytes=limit * size_of(memory), policy="value")
        gone = [one.value for one in report.records if one.fate == "removed"]
        after = spans_of(memory, files)
        kept = [
            round(view.value, 6)
            for (name, kind), found in after.items()
            if kind == "patterns"
            for raw in found
            if len(raw) < 5000 and isinstance(view := view_record(raw, PatternView), RecordView)
            if protection_of(view, view.judgement, moment(0), Protection()) is None
        ]
        if gone and kept:
            assert max(gone) <= min(kept)
        if not gone:
            assert after == before
        elif kept:
            assert report.status is ExitStatus.DONE, "who still has something to give has given enough"
