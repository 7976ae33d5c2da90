"""Which patterns may go to make room, in which order. Pure.

A few bytes are kept for each, so that millions can be ranked.
"""

from __future__ import annotations

import math
from array import array as packed_array
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from aml.codec.json_array import MAX_DEPTH, RecordArray, is_deeper_than
from aml.codec.views import Seen, Unreadable
from aml.model import units
from aml.model.kinds import PATTERN
from aml.model.record import RecordView
from aml.prune.options import PruneOptions, Space
from aml.prune.plan import FileScan, identical
from aml.prune.rules import AGENT_SPACE, Figures, protection_of, rules_for

#: Beyond every confidence: an unknown one never condemns, so such records go last, the least valuable first.
_UNKNOWN_CONFIDENCE = 2.0

_MEASURES = {"value-density": "least value per byte", "value": "least value", "confidence": "least confidence"}


class Candidates(Struct, frozen=True):
    """Patterns of one file that no rule condemns, in the order of the file; each sequence has one item for each.

    ``freed`` are bytes on disk that it takes, as far as can be told; ``confidences`` are NaN where unknown. ``guards``
    are 0, or the place (from 1) in ``reasons`` of what protects it. ``first_of`` is as in a FileScan.
    """

    ordinals: Sequence[int]
    values: Sequence[float]
    freed: Sequence[float]
    confidences: Sequence[float]
    guards: Sequence[int]
    reasons: Sequence[str]
    first_of: dict[int, int]


class Group(Struct, frozen=True):
    """Records that go together: one, or several that are identical. ``score`` tells who goes first, the lowest."""

    score: float
    ordinals: tuple[int, ...]
    values: tuple[float, ...]
    freed: float
    protected: str | None


def look_for_candidates(
    scan: FileScan, seen: Sequence[Seen], array: RecordArray, options: PruneOptions, now: float
) -> None:
    """Write into a scan what its condemned records take on disk, and which others may go for space.

    A record in a gzip file takes what its text takes times the ratio of that file.
    """
    elements = array.elements
    text = len(array.text)
    ratio = scan.size / text if text else 1.0
    between = (text - sum(map(len, elements))) / len(elements) if elements else 0.0
    scan.freed = packed_array("d", [(len(elements[ordinal]) + between) * ratio for ordinal in scan.ordinals])
    if scan.kind != PATTERN.plural:
        return
    condemned = frozenset(scan.ordinals)
    ordinals, sizes, guards = packed_array("Q"), packed_array("d"), packed_array("H")
    values, confidences = packed_array("d"), packed_array("d")
    reasons: dict[str, int] = {}
    unread = {ordinal for ordinal, _ in scan.unreadable}
    rules = rules_for(PATTERN, options.strategies)
    for ordinal, view in enumerate(seen):
        if ordinal in condemned or ordinal in unread or isinstance(view, Unreadable):
            continue
        element = elements[ordinal]
        if is_deeper_than(element, MAX_DEPTH):
            continue
        judgement = view.judgement
        value, confidence, _, _ = judgement
        why = protection_of(view, judgement, now, options.protection)
        if why is not None and any(applies(view, now, options.thresholds) for _, applies in rules):
            continue  # counted as protected from that rule, and once is enough
        guards.append(0 if why is None else reasons.setdefault(why, len(reasons) + 1))
        ordinals.append(ordinal)
        values.append(round(value, 6))
        confidences.append(math.nan if confidence is None else confidence)
        sizes.append((len(element) + between) * ratio)
    idents = ((ordinal, _ident(seen[ordinal])) for ordinal in ordinals)
    twins = identical(idents, scan.shared_ids, array)
    scan.candidates = Candidates(ordinals, values, sizes, confidences, guards, tuple(reasons), twins)


def _ident(view: Seen) -> str | None:
    return view.ident if isinstance(view, RecordView) else None


def ranked(found: Candidates, policy: str) -> Iterator[Group]:
    """The candidates of one file in the order in which they go; of equal score, by their position."""
    score = _score(found, policy)
    first = found.first_of
    places: Sequence[int] = range(len(found.ordinals))
    if first:

        def together(place: int) -> tuple[float, int]:
            ordinal = found.ordinals[place]
            return score(place), first.get(ordinal, ordinal)

        for _, group in groupby(sorted(places, key=together), key=together):
            yield _group(found, list(group), score)
    else:
        for place in sorted(places, key=score):
            yield _group(found, [place], score)


def _group(found: Candidates, places: Sequence[int], score: Callable[[int], float]) -> Group:
    guard = found.guards[places[0]]
    return Group(
        score(places[0]),
        tuple([found.ordinals[place] for place in places]),
        tuple([found.values[place] for place in places]),
        sum(found.freed[place] for place in places),
        found.reasons[guard - 1] if guard else None,
    )


def _score(found: Candidates, policy: str) -> Callable[[int], float]:
    values, freed, confidences = found.values, found.freed, found.confidences
    if policy == "value":
        return values.__getitem__
    if policy == "confidence":

        def by_confidence(place: int) -> float:
            confidence = confidences[place]
            return _UNKNOWN_CONFIDENCE + values[place] if math.isnan(confidence) else confidence

        return by_confidence
    return lambda place: values[place] / freed[place]


def why_for_space(view: RecordView, place: int, size: int, space: Space) -> tuple[str, Figures]:
    """Why a record of so many bytes of text goes at AGENT_SPACE or STORE_SPACE: a sentence, and its figures."""
    whose, limit = ("its agent", space.agent_bytes) if place == AGENT_SPACE else ("the store", space.store_bytes)
    value, confidence = round(view.value, 6), view.confidence
    figures: Figures = {
        "policy": space.policy,
        "value": value,
        "confidence": confidence,
        "bytes": size,
        "density": value / size if size else None,
        "limit_bytes": limit,
    }
    trust = "unknown" if confidence is None else f"{confidence:.2f}"
    told = f"confidence {trust}" if space.policy == "confidence" else f"value {value:.2f}"
    measure = _MEASURES[space.policy]
    return f"{measure}: {told}, {units.size(size)}; {whose} holds more than {units.size(limit)}", figures
