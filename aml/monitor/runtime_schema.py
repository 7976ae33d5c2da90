"""What the agents' runtime takes for a valid record of schema 1.x: one that is not makes its queries of that kind fail.

The structs below are its rules: fields without a default must be there, keys that are not named may be anything. A
whole array is judged in one pass at C speed; only where that fails are its elements looked at one by one.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from aml.codec.json_array import Element
from aml.model.kinds import DECISION, PATTERN, SOLUTION, Kind
from aml.model.undecodable import UNDECODABLE, encodable

_Uuid = Annotated[str, Meta(pattern="^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$")]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Twice = Annotated[float, Meta(ge=0, le=2)]
_Amount = Annotated[float, Meta(ge=0)]
_Count = Annotated[int, Meta(ge=0)]
_Texts = list[str]
_Context = dict[str, str | float | bool]


class _Conditions(Struct, gc=False):
    whenApplicable: _Texts
    whenNotApplicable: _Texts


class _Approach(Struct, gc=False, kw_only=True):
    technique: str
    rationale: str
    codeTemplate: str | UnsetType = UNSET
    steps: _Texts | UnsetType = UNSET


class _PatternBody(Struct, gc=False):
    type: str
    context: _Context
    approach: _Approach
    conditions: _Conditions


class _Metrics(Struct, gc=False):
    successRate: _Share
    executionCount: _Count
    avgTimeSavedMs: _Amount
    errorPreventionCount: _Count


class _Evolution(Struct, gc=False):
    created: str
    lastUsed: str
    refinements: _Count
    confidenceScore: _Share


class ValidRecord(Struct, gc=False, kw_only=True):
    """What every kind has in common. ``version`` and ``metadata`` are no part of schema 1.0 and may be anything."""

    id: _Uuid
    agent: str
    timestamp: str
    tags: _Texts | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    version: Any = None
    metadata: Any = None


class _ValidPattern(ValidRecord, gc=False, kw_only=True):
    pattern: _PatternBody
    metrics: _Metrics
    evolution: _Evolution


class _Problem(Struct, gc=False, kw_only=True):
    errorType: str
    errorMessage: str
    context: _Context
    stackTraceHash: str | UnsetType = UNSET


class _Fix(Struct, gc=False, kw_only=True):
    rootCause: str
    fixApproach: str
    prevention: str
    codeFix: str | UnsetType = UNSET
    relatedPatterns: _Texts | UnsetType = UNSET


class _Effectiveness(Struct, gc=False):
    worked: bool
    timeToFixMinutes: _Amount
    preventedRecurrence: _Count
    relatedErrorsFixed: _Count


class _ValidSolution(ValidRecord, gc=False, kw_only=True):
    problem: _Problem
    solution: _Fix
    effectiveness: _Effectiveness
    verifiedCount: _Count | UnsetType = UNSET


class _Factors(Struct, gc=False):
    primary: _Texts
    secondary: _Texts


class _Choice(Struct, gc=False, kw_only=True):
    type: str
    question: str
    context: _Context
    chosenOption: str
    alternativesConsidered: _Texts
    decisionFactors: _Factors
    rationale: str | UnsetType = UNSET


class _Scores(Struct, gc=False, kw_only=True):
    developmentSpeed: _Twice | UnsetType = UNSET
    apiPerformance: _Share | UnsetType = UNSET
    clientSatisfaction: _Share | UnsetType = UNSET
    maintainability: _Share | UnsetType = UNSET
    customMetrics: dict[str, float] | UnsetType = UNSET


class _Outcome(Struct, gc=False, kw_only=True):
    successMetrics: _Scores
    lessonsLearned: _Texts
    wouldRepeat: bool
    improvements: _Texts | UnsetType = UNSET


class _ValidDecision(ValidRecord, gc=False, kw_only=True):
    decision: _Choice
    outcome: _Outcome | UnsetType | None = UNSET
    reviewedAt: str | UnsetType = UNSET


_VALID: dict[Kind, type[ValidRecord]] = {PATTERN: _ValidPattern, SOLUTION: _ValidSolution, DECISION: _ValidDecision}
_ARRAYS = {kind: msgspec.json.Decoder(list[valid]) for kind, valid in _VALID.items()}  # type: ignore[valid-type]
_RECORDS = {kind: msgspec.json.Decoder(valid) for kind, valid in _VALID.items()}

_INDEX = re.compile(r"\[\d+\]")
_PLACE = re.compile(r"(?: - at `\$\.?(?P<place>.*)`)?$")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_WRONG = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<found>\w+)`")
_BEYOND = re.compile(r"Expected `\w+` (?P<sign><=|>=) (?P<limit>[\d.]+)")
_WORDS = {"str": "text", "int": "whole number", "float": "number", "bool": "boolean", "array": "array"}


def valid_records(text: bytes, kind: Kind) -> list[ValidRecord] | None:
    """The records of a JSON array of which the runtime would take every one; None where that cannot be said at once.

    It says nothing of bytes that are no UTF-8.
    """
    try:
        return _ARRAYS[kind].decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def why_refused(element: Element, kind: Kind) -> str | None:
    """Why the runtime would refuse a record, or None where it takes it, or where it cannot be told."""
    try:
        _RECORDS[kind].decode(element)
    except msgspec.ValidationError as error:
        # what is missing is missing, however numbers and doubled keys are read
        if str(error).startswith("Object missing"):
            return _told(str(error))
    except (msgspec.MsgspecError, RecursionError, ValueError):
        pass
    else:
        return None
    return _why_refused_by_javascript(element, kind)


def _why_refused_by_javascript(element: Element, kind: Kind) -> str | None:
    """The same, with numbers and doubled keys read as JavaScript does: 5.0 is a whole number, the last key counts."""
    raw = bytes(element)
    try:
        found = json.loads(raw, parse_float=_number, parse_constant=float)
        # half a surrogate pair is text to the runtime, and none here
        msgspec.convert(encodable(found) if b"\\u" in raw else found, type=_VALID[kind])
    except msgspec.ValidationError as error:
        return _told(str(error))
    except UNDECODABLE:
        return None
    return None


def _number(digits: str) -> float:
    number = float(digits)
    return int(number) if number.is_integer() else number


def _told(message: str) -> str:
    """What a refusal says, in the words of the field."""
    match = _PLACE.search(message)
    # one fault in many places of many lists is one fault
    place = _INDEX.sub("[]", (match["place"] if match else None) or "")
    missing = _MISSING.match(message)
    if missing:
        return f"it has no {f'{place}.' if place else ''}{missing[1]}"
    place = place or "it"
    if "matching regex" in message:
        return f"{place} is no UUID"
    beyond = _BEYOND.match(message)
    if beyond:
        return f"{place} is {'more' if beyond['sign'] == '<=' else 'less'} than {float(beyond['limit']):g}"
    wrong = _WRONG.match(message)
    if wrong:
        wanted = " or ".join(_WORDS.get(one, one) for one in wrong["wanted"].split(" | "))
        found = _WORDS.get(wrong["found"], wrong["found"])
        return f"{place} is {_named(found)} instead of {_named(wanted)}"
    return message


def _named(what: str) -> str:
    if what == "null":
        return what
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"
