"""The rules of the agents' runtime against a second, plain reading of them: records that were changed in one place."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aml.model.kinds import DECISION, PATTERN, SOLUTION, Kind
from aml.monitor.runtime_schema import valid_records, why_refused
from tests.support.records import decision, pattern, solution

Rule = Callable[[Any], bool]

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def text(value: Any) -> bool:
    return isinstance(value, str)


def yes_or_no(value: Any) -> bool:
    return isinstance(value, bool)


def number(low: float | None = None, high: float | None = None, *, whole: bool = False) -> Rule:
    def check(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        within = (low is None or value >= low) and (high is None or value <= high)
        return within and (not whole or float(value).is_integer())

    return check


def texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(text, value))


def scalars(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str | int | float | bool) for one in value.values())


def thing(optional: tuple[str, ...] = (), **rules: Rule) -> Rule:
    def check(value: Any) -> bool:
        return isinstance(value, dict) and all(
            rule(value[name]) if name in value else name in optional for name, rule in rules.items()
        )

    return check


_COMMON: dict[str, Rule] = {
    "id": lambda value: text(value) and _UUID.fullmatch(value) is not None,
    "agent": text,
    "timestamp": text,
    "tags": texts,
    "active": yes_or_no,
}
_count, _share, _amount = number(0, whole=True), number(0, 1), number(0)
_RULES: dict[Kind, Rule] = {
    PATTERN: thing(
        ("tags", "active"),
        **_COMMON,
        pattern=thing(
            type=text,
            context=scalars,
            approach=thing(("codeTemplate", "steps"), technique=text, rationale=text, codeTemplate=text, steps=texts),
            conditions=thing(whenApplicable=texts, whenNotApplicable=texts),
        ),
        metrics=thing(successRate=_share, executionCount=_count, avgTimeSavedMs=_amount, errorPreventionCount=_count),
        evolution=thing(created=text, lastUsed=text, refinements=_count, confidenceScore=_share),
    ),
    SOLUTION: thing(
        ("tags", "active", "verifiedCount"),
        **_COMMON,
        problem=thing(("stackTraceHash",), errorType=text, errorMessage=text, stackTraceHash=text, context=scalars),
        solution=thing(
            ("codeFix", "relatedPatterns"),
            rootCause=text,
            fixApproach=text,
            codeFix=text,
            prevention=text,
            relatedPatterns=texts,
        ),
        effectiveness=thing(
            worked=yes_or_no, timeToFixMinutes=_amount, preventedRecurrence=_count, relatedErrorsFixed=_count
        ),
        verifiedCount=_count,
    ),
    DECISION: thing(
        ("tags", "active", "outcome", "reviewedAt"),
        **_COMMON,
        decision=thing(
            ("rationale",),
            type=text,
            question=text,
            context=scalars,
            chosenOption=text,
            alternativesConsidered=texts,
            decisionFactors=thing(primary=texts, secondary=texts),
            rationale=text,
        ),
        outcome=lambda value: value is None or _outcome(value),
        reviewedAt=text,
    ),
}
_outcome = thing(
    ("improvements",),
    successMetrics=thing(
        ("developmentSpeed", "apiPerformance", "clientSatisfaction", "maintainability", "customMetrics"),
        developmentSpeed=number(0, 2),
        apiPerformance=_share,
        clientSatisfaction=_share,
        maintainability=_share,
        customMetrics=lambda value: isinstance(value, dict) and all(map(number(), value.values())),
    ),
    lessonsLearned=texts,
    wouldRepeat=yes_or_no,
    improvements=texts,
)

_FULL: dict[Kind, dict[str, Any]] = {
    PATTERN: pattern(tags=["a", "b"]),
    SOLUTION: solution(tags=["a"]),
    DECISION: decision(
        tags=["a"], reviewed_days=2, would_repeat=True, scores={"developmentSpeed": 1.5, "customMetrics": {"a": 1}}
    ),
}
_OPTIONAL = ("codeTemplate", "steps", "stackTraceHash", "codeFix", "relatedPatterns", "rationale", "improvements")

_values = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -1, 2, 0.5, 1.5, 2.5, 5.0, 1e300, 10**30, "", "x", [], {}, ["x"], [1]]),
    st.sampled_from([[None], {"a": 1}, {"a": None}, {"a": [1]}, {"a": "x"}, "\ud83d", {"\ud83d": 1}]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-3, 3),
    st.uuids().map(str),
    st.text(max_size=4),
)


def holders(value: Any) -> list[dict[str, Any]]:
    found = [value] if isinstance(value, dict) else []
    return found + [inner for one in (value.values() if isinstance(value, dict) else ()) for inner in holders(one)]


@st.composite
def changed_records(draw: st.DrawFn) -> tuple[Kind, dict[str, Any]]:
    kind = draw(st.sampled_from([PATTERN, SOLUTION, DECISION]))
    record = copy.deepcopy(_FULL[kind])
    for _ in range(draw(st.integers(0, 2))):
        holder = draw(st.sampled_from(holders(record)))
        name = draw(st.sampled_from(sorted({*holder, *_OPTIONAL, "other"})))
        if draw(st.booleans()):
            holder[name] = copy.deepcopy(draw(_values))
        else:
            holder.pop(name, None)
    return kind, record


@given(st.lists(changed_records(), min_size=1, max_size=6))
def test_the_runtime_takes_what_the_rules_say_one_by_one_and_all_at_once(
    records: list[tuple[Kind, dict[str, Any]]],
) -> None:
    for kind, record in records:
        element = json.dumps(record).encode()
        takes = _RULES[kind](record)
        reason = why_refused(element, kind)
        assert (reason is None) == takes, (reason, record)
        at_once = valid_records(b"[" + element + b"]", kind)
        assert at_once is None or takes, "what is taken at once is taken"
        if "\\ud" not in element.decode() and ".0" not in element.decode() and "e+" not in element.decode():
            assert (at_once is not None) == takes, record
