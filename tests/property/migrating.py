"""Strategies for records of every kind and schema version as they are found in the wild, as exact bytes."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from tests.property.json_text import blanks, numbers, sound_scalars, strings

VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "2.0.0")
PLURALS = ("patterns", "solutions", "decisions")

Pair = tuple[bytes, bytes]

_ORDINARY_TIMES = [b'"2026-09-07T23:25:56.930Z"', b'"2025-01-12T01:57:52.908Z"']
_ODD_TIMES = [
    b'"2026-09-07T23:25:56"',
    b'"2026-09-07 23:25:56.123456"',
    b'"2026-09-07T23:25:56+02:00"',
    b'"2026-09-07"',
    b'"20260907T232556"',
    b'"2026-11"',
    b'"2026-09-07T24:00"',
    b'"2026-W47-5"',
    b'" 2026-11 "',
    b'"2026\\u002d09-07T23:25:56"',
    b'"2026-09-07\\ud83d23:25:56"',
    b"1732104000",
    b"1732104000123",
    b"1732104000.25",
    b"1.7321040001234567e9",
    b"17321040001234567890",
    b'"1732104000"',
    b'"yesterday"',
    b'"1970-01-01T00:00:00"',
    b'""',
    b"null",
    b"0",
    b"[]",
    b"true",
    b"NaN",
]
times = st.sampled_from(_ORDINARY_TIMES * 6 + _ODD_TIMES)
scalars = st.one_of(
    sound_scalars, st.sampled_from([b"NaN", b"-Infinity", b"1.10", b"1e400", b'"\\ud83d"', b"1" * 5000])
)
_unknown_keys = st.one_of(
    st.sampled_from([b'"id2"', b'"owner"', rb'"\u0061ctive2"', b'"x"', b'""', b'"\xc3\xa9"', rb'"\ud83d"']),
    strings.map(str.encode),
)


def _compound(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: b"[" + b", ".join(parts) + b"]"),
        st.lists(st.tuples(_unknown_keys, inner), max_size=3).map(
            lambda pairs: b"{" + b",".join(key + b": " + value for key, value in pairs) + b"}"
        ),
    )


values = st.one_of(scalars, st.recursive(scalars, _compound, max_leaves=4))
_extra = st.lists(st.tuples(_unknown_keys, values), max_size=2)

_FIGURES = [
    "successRate",
    "success_rate",
    "executionCount",
    "avgTimeSavedMs",
    "errorPreventionCount",
    "execution_count",
]
_COURSE = ["created", "createdAt", "created_at", "lastUsed", "last_used", "last_used_at"]
_TRUST = ["refinements", "confidenceScore", "confidence_score", "confidence", "refinement_count"]


def _key(name: str) -> st.SearchStrategy[bytes]:
    plain = json.dumps(name).encode()
    escaped = b'"\\u%04x' % ord(name[0]) + name[1:].encode() + b'"'
    return st.sampled_from([plain] * 20 + [escaped])


@st.composite
def _members(draw: st.DrawFn, names: list[str], value: st.SearchStrategy[bytes], max_size: int) -> list[Pair]:
    chosen = draw(st.lists(st.sampled_from(names), max_size=max_size, unique=True))
    return [(draw(_key(name)), draw(value)) for name in chosen]


@st.composite
def _object(draw: st.DrawFn, members: list[Pair], depth: int, style: str) -> bytes:
    if style == "odd":
        parts = [
            draw(blanks) + key + draw(blanks) + b":" + draw(blanks) + value + draw(blanks) for key, value in members
        ]
        return b"{" + b",".join(parts) + b"}" if parts else b"{" + draw(blanks) + b"}"
    return laid_out(members, depth, style)


def laid_out(members: list[Pair], depth: int, style: str) -> bytes:
    """An object as a writer of that habit would write it: compact, python, spaced, pretty or tabs."""
    if not members:
        return b"{}"
    if style in ("pretty", "tabs"):
        unit = b"  " if style == "pretty" else b"\t"
        lead, end = b"\n" + unit * (depth + 1), b"\n" + unit * depth
        return b"{" + b",".join(lead + key + b": " + value for key, value in members) + end + b"}"
    colon, comma, edge = {
        "compact": (b":", b",", b""),
        "python": (b": ", b", ", b""),
        "spaced": (b" : ", b" , ", b" "),
    }[style]
    return b"{" + edge + comma.join(key + colon + value for key, value in members) + edge + b"}"


STYLES = ["compact", "python", "spaced", "pretty", "tabs", "odd"]

_SOMEBODYS_NOTES = [
    b'{"was": 1}',
    b"{}",
    b"5",
    b'"mine"',
    b"null",
    b'{"foo": 1, "down_to_1.0.0": 3}',
    b'{"up_to_1.2.0": {"set": {"metadata": {"a": 1}}, "gone": ["b"]}}',
    b'{"down_to_1.1.0": {"text": "{}"}}',
    b'{"up_to_1.1.0": {"set": {"tags": [ "old" ]}, "at": {"tags": 0}}}',
    b'{"down_to_1.0.0": {"names": {"a": "b"}, "in": {"evolution": {"set": {"created": 5}}}}}',
]


@st.composite
def records(draw: st.DrawFn, kind: str, *, foreign: bool = True) -> bytes:
    """A record of any version: the runtime's, one written by hand, or a mixture of both."""
    style = draw(st.sampled_from(STYLES))
    odd = draw(st.booleans())
    top = [
        (b'"id"', draw(strings).encode()),
        (b'"agent"', draw(st.sampled_from([b'"alpha"', b'"alpha"', b"null", b"7"]))),
    ]
    top.append((b'"timestamp"', draw(times)))
    if kind == "patterns":
        figures = draw(_members(_FIGURES, st.one_of(numbers.map(str.encode), scalars), 4)) + draw(_extra)
        course = draw(_members(_COURSE, times, 3)) + draw(_members(_TRUST, scalars, 2)) + draw(_extra)
        names = draw(st.sampled_from([("metrics", "evolution")] * 3 + [("performance", "lifecycle")]))
        top.append((draw(_key(names[0])), draw(st.one_of(_object(figures, 2, style), values))))
        top.append((draw(_key(names[1])), draw(_object(course, 2, style))))
        if odd:
            top += draw(_members(["performance", "lifecycle"], st.sampled_from([b"null", b"{}", b'{"created":1}']), 2))
    elif draw(st.booleans()):
        top.append((b'"effectiveness"', b'{"worked": true, "preventedRecurrence": 2}'))
        top.append((b'"outcome"', b'{"wouldRepeat": false, "success_metrics": {"maintainability": 0.5}}'))
    top += draw(_marks(odd))
    if kind == "decisions":
        top += draw(_members(["reviewedAt", "reviewed_at"], times, 2))
    top += draw(_extra)
    if foreign:
        top += draw(_members(["x_aml"], st.sampled_from(_SOMEBODYS_NOTES), 1))
    if odd:
        top = draw(st.permutations(top))
    return draw(_object(top, 1, style))


@st.composite
def _marks(draw: st.DrawFn, odd: bool) -> list[Pair]:
    """What tells the version."""
    some_values = {
        "tags": [b"[]", b"[]", b'["a", "b"]', b"null", b'"a"', b"[ ]", b'["\\ud83d"]'],
        "active": [b"true", b"true", b"false", b"null", b"0", b'"yes"'],
        "metadata": [b'{"created_by": "me", "version": "1.2.0"}', b"{}", b"null", b'"x"', b'{"version": 3}'],
        "variations": [b"[]", b'[{"of": 1.10}]', b"null"],
        "version": [b'"2.0.0"', b'"2.0.0"', b'"1.2.0"', b'"1.1.0"', b'"1.0.0"', b'"draft"', b"3", b"null", b'"1.0.9"'],
    }
    pairs = []
    for name, choices in some_values.items():
        if draw(st.booleans()):
            pairs.append((draw(_key(name)), draw(st.sampled_from(choices if odd else choices[:2]))))
    return pairs
