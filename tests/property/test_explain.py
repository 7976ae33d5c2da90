"""What is explained of a record is what the rules say of it, whatever it holds."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aml.codec.json_array import split
from aml.codec.views import view_records
from aml.config import PruneSettings
from aml.ledger.history import RemovedKeys
from aml.model.kinds import KIND_BY_PLURAL
from aml.model.record import RecordView
from aml.prune.plan import scan_file
from aml.prune.rules import RULES, protection_of
from aml.prune.verdicts import guards_of, verdicts_on
from aml.store.open import open_store
from aml.workflows.explain import prune_explain
from aml.workflows.prune import prune_options
from tests.contract.pruning import UNLIMITED, fates, run_prune
from tests.property.test_prune import MAKERS, Files, _written, elements, stores, thrifty
from tests.support.records import NOW


@given(st.data(), st.sampled_from(sorted(MAKERS)), st.booleans())
def test_verdicts_and_protections_are_those_of_the_rules(data: st.DataObject, name: str, aggressive: bool) -> None:
    kind = KIND_BY_PLURAL[name]
    options = prune_options(PruneSettings(pinned_ids=("a", "h")), aggressive=aggressive)
    now = NOW.timestamp()
    raw = data.draw(elements(name))
    array = split(b"[" + raw + b"]")
    [view] = view_records(array, kind.view)
    if not isinstance(view, RecordView):
        return
    verdicts = verdicts_on(view, kind, options, now)
    said = {one.rule: one.verdict == "applies" for one in verdicts}
    assert said == {rule.name: rule.applies(view, now, options.thresholds) for rule in RULES if kind in rule.kinds}
    for one in verdicts:
        assert (one.verdict == "lacks a figure") <= any(part.met is None for part in one.conditions)
    guarded = any(one.holds for one in guards_of(view, now, options.protection))
    assert guarded == (protection_of(view, view.judgement, now, options.protection) is not None)
    scan = scan_file("alpha", name, array, options, now, RemovedKeys())
    first = next((one.rule for one in verdicts if one.verdict == "applies"), None)
    goes = first is not None and not guarded and not scan.unreadable
    assert [RULES[place].name for place in scan.rules] == ([first] if goes else [])
    assert json.dumps([part.text for one in verdicts for part in one.conditions])


@thrifty
@given(files=stores(), max_loss=st.sampled_from([None, UNLIMITED]))
def test_every_record_is_explained_as_the_dry_run_tells_it(files: Files, max_loss: float | None) -> None:
    options = prune_options(PruneSettings(), max_loss=max_loss)
    with _written(files) as memory:
        told = Counter(fates(run_prune(memory, max_loss=max_loss, dry_run=True)))
        store, explained = open_store(memory), Counter[Any]()
        for ident in sorted({ident for _, _, ident, _, _ in told if ident is not None}):
            report = prune_explain(store, ident, options, now=NOW.timestamp())
            assert {one.id for one in report.records} == {ident}
            explained.update(
                (one.agent, one.kind, one.id, one.fate, one.rule)
                for one in report.records
                if one.fate in ("removed", "deferred")
            )
        assert explained == Counter({one: number for one, number in told.items() if one[2] is not None})
