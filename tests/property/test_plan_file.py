"""Whatever is done to a plan in a file: it is refused or applied, and takes nothing that is not in it and condemned."""

from __future__ import annotations

import copy
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aml.config import PruneSettings
from aml.errors import AmlError, ExitStatus
from aml.prune.report import PruneReport
from aml.prune.rules import RULES
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.prune import prune_options
from aml.workflows.prune_plans import prune_apply, prune_plan
from tests.contract.pruning import IMPATIENT, UNLIMITED, moment, run_prune, run_undo
from tests.property.test_prune import Files, _spans, _written, stores, thrifty

Plan = dict[str, Any]
CONDITIONS = Conditions(locks=IMPATIENT)


@contextmanager
def planned(files: Files) -> Iterator[tuple[Path, Path]]:
    """A store, and a plan of all that the rules condemn in it."""
    with _written(files) as memory, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        options = prune_options(PruneSettings(), max_loss=UNLIMITED)
        prune_plan(open_store(memory), path, options, now=moment(0), conditions=CONDITIONS)
        yield memory, path


def applied(memory: Path, path: Path, *, dry_run: bool = False) -> PruneReport:
    return prune_apply(
        open_store(memory),
        path,
        max_loss=UNLIMITED,
        now=moment(0),
        dry_run=dry_run,
        backup=False,
        conditions=CONDITIONS,
    )


def applied_or_refused(memory: Path, path: Path) -> PruneReport | None:
    try:
        return applied(memory, path)
    except AmlError as error:
        if error.status in (ExitStatus.FAILED, ExitStatus.USAGE, ExitStatus.DAMAGED):
            return None
        raise


def spans_of(memory: Path, files: Files) -> dict[tuple[str, str], list[bytes]]:
    return {key: _spans(memory, *key, found) for key, (found, _) in files.items()}


@thrifty
@given(files=stores())
def test_plan_and_apply_at_once_is_a_prune(files: Files) -> None:
    with planned(files) as (memory, path), _written(files) as twin:
        pruned = run_prune(twin, max_loss=UNLIMITED)
        previewed = applied(memory, path, dry_run=True)
        report = applied(memory, path)
        names = ("agent", "kind", "id", "fate", "rule", "reason", "figures", "value")
        told = [[tuple(getattr(one, name) for name in names) for one in some.records] for some in (pruned, report)]
        assert told[0] == told[1]
        assert previewed.records == report.records
        assert spans_of(memory, files) == spans_of(twin, files)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 20),
    st.sampled_from([2**63, -(2**70), 1e400, 0.5]),
    st.sampled_from(["", "alpha", "beta", "../alpha", "patterns", "decisions", "space", "time", "0" * 64, "\ud800"]),
    st.sampled_from([rule.name for rule in RULES]),
    st.builds(list),
    st.builds(dict),
)


def _places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, as keys and indices."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield (*above, key)
        yield from _places(value, (*above, key))


def _edit(plan: Plan, place: tuple[Any, ...], change: Callable[[Any, Any], None]) -> None:
    holder: Any = plan
    for key in place[:-1]:
        holder = holder[key]
    change(holder, place[-1])


@st.composite
def mutations(draw: st.DrawFn, plan: Plan, spans: dict[tuple[str, str], list[bytes]]) -> bytes:
    """The plan with a few changes: values, whole entries, entries that were never planned, or mere bytes."""
    found = copy.deepcopy(plan)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(sorted(_places(found), key=str)))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            value = draw(values)
            _edit(found, place, lambda holder, key, value=value: holder.__setitem__(key, value))  # type: ignore[misc]
        elif kind == 1:
            _edit(found, place, lambda holder, key: holder.__delitem__(key))
        elif kind == 2 and isinstance(found.get("files"), list) and found["files"]:
            file = draw(st.sampled_from(found["files"]))
            known = spans.get((file.get("agent"), file.get("kind"))) if isinstance(file, dict) else None
            if known and isinstance(file.get("removals"), list):
                file["removals"].append(_entry(draw, known))
        elif kind == 3 and isinstance(found.get("files"), list) and found["files"]:
            found["files"].append(copy.deepcopy(draw(st.sampled_from(found["files"]))))
        elif isinstance(found.get("options"), dict):
            found["options"]["aggressive"] = True
        if not list(_places(found)):
            break
    data = json.dumps(found).encode()
    if draw(st.integers(0, 5)) == 0:
        cut = draw(st.integers(0, len(data)))
        data = data[:cut] + draw(st.sampled_from([b"", b"\xff", b"{", b"9" * 5000])) + data[cut + 1 :]
    return data


def _entry(draw: st.DrawFn, spans: list[bytes]) -> dict[str, Any]:
    """An entry for any record of the file, with its own hash."""
    position = draw(st.integers(0, len(spans) - 1))
    try:
        ident = json.loads(spans[position]).get("id")
    except (ValueError, AttributeError, RecursionError):
        ident = None
    rule = draw(st.sampled_from([one.name for one in RULES]))
    return {"position": position, "id": ident, "sha256": sha256(spans[position]).hexdigest(), "rule": rule}


@thrifty
@given(data=st.data(), files=stores())
def test_no_change_of_a_plan_takes_what_is_not_in_it_and_condemned(data: st.DataObject, files: Files) -> None:
    with planned(files) as (memory, path):
        before = spans_of(memory, files)
        condemned = {
            (one.agent, one.kind, one.id, one.size)
            for aggressive in (False, True)
            for one in run_prune(memory, max_loss=UNLIMITED, dry_run=True, aggressive=aggressive).records
        }
        mutated = data.draw(mutations(json.loads(path.read_bytes()), before))
        path.write_bytes(mutated)
        report = applied_or_refused(memory, path)
        if report is None:
            assert spans_of(memory, files) == before
            return
        named: Counter[tuple[str, str, str]] = Counter(
            (file["agent"], file["kind"], one["sha256"])
            # what a plan does not need may hold any bytes
            for file in json.loads(mutated.decode(errors="replace"))["files"]
            for one in file["removals"]
        )
        after = spans_of(memory, files)
        for (agent, kind), found in before.items():
            gone = Counter(found) - Counter(after[agent, kind])
            for raw, number in gone.items():
                assert number <= named[agent, kind, sha256(raw).hexdigest()]
        assert {(one.agent, one.kind, one.id, one.size) for one in report.records} <= condemned
        if report.total("removed"):
            assert run_undo(memory, report.run).status is ExitStatus.DONE
        assert spans_of(memory, files) == before
