"""Makers of realistic records in the runtime's schema 1.x: the same generator state gives the same records.

Key order and number style are those of the runtime. A record takes about 1.5 KB when pretty-printed with two spaces,
and a large file of them shrinks to about 20 % by gzip, like the files of the runtime. With ``fingerprint_bytes`` a
maker trades some of the text for so many random bytes (base64 in the record's context), which no compressor can shrink.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from aml.demo import vocabulary as words
from aml.demo.domains import Domain, domain_of
from aml.demo.text import Phrases

Record = dict[str, Any]

SPAN_DAYS = 730
"""Records are created within so many days before now."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def iso_ms(moment: datetime) -> str:
    """A moment as the runtime writes it: ``2026-04-20T22:28:02.826Z`` (UTC, milliseconds)."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def make_id(rng: Random) -> str:
    """A random (version 4) UUID from the generator."""
    return str(UUID(int=rng.getrandbits(128), version=4))


def make_pattern(
    rng: Random, agent: str, now: datetime, *, created: datetime | None = None, fingerprint_bytes: int = 0
) -> Record:
    """A pattern of an agent, created at ``created`` (UTC) or somewhere in the two years before ``now`` (UTC)."""
    phrases = Phrases(rng, domain_of(agent))
    born = _creation(rng, now) if created is None else created
    executions = 0 if rng.random() < 0.06 else min(int(rng.expovariate(1 / 28)), 400)
    good = rng.random() < 0.7
    record: Record = {
        "id": make_id(rng),
        "agent": agent,
        "timestamp": iso_ms(born),
        "pattern": _pattern_body(rng, phrases, domain_of(agent), fingerprint_bytes),
        "metrics": {
            "successRate": _number(rng.betavariate(7, 2) if good else rng.betavariate(2, 4), 4),
            "executionCount": executions,
            "avgTimeSavedMs": _number(min(rng.lognormvariate(6.4, 1.1), 60_000.0), 2),
            "errorPreventionCount": int(executions * rng.random() * 0.2),
        },
        "evolution": {
            "created": iso_ms(born),
            "lastUsed": iso_ms(_between(born, now, rng.random() ** 0.7) if executions else born),
            "refinements": int(executions**0.5 * rng.random() * 2),
            "confidenceScore": _number(rng.betavariate(5, 2.5) if good else rng.betavariate(2, 5), 4),
        },
    }
    return _with_tags(rng, agent, record)


def make_solution(
    rng: Random, agent: str, now: datetime, *, created: datetime | None = None, fingerprint_bytes: int = 0
) -> Record:
    """A solution of an agent, created at ``created`` (UTC) or somewhere in the two years before ``now`` (UTC)."""
    phrases = Phrases(rng, domain_of(agent))
    born = _creation(rng, now) if created is None else created
    kind, message = phrases.error()
    worked = rng.random() < 0.86
    context = {"file": phrases["file"], "line": rng.randrange(1, 900), "seenWhen": phrases.observation()}
    solution: Record = {
        "rootCause": f"{phrases.observation()} {_evidence(phrases, fingerprint_bytes)}",
        "fixApproach": f"{phrases.technique()}. {phrases.evidence()}",
        "codeFix": phrases.code(),
        "prevention": f"{phrases.draw(words.STEPS)}. {phrases.draw(words.STEPS)}.",
    }
    if rng.random() < 0.3:
        solution["relatedPatterns"] = [make_id(rng)]
    record: Record = {
        "id": make_id(rng),
        "agent": agent,
        "timestamp": iso_ms(born),
        "problem": {
            "errorType": kind,
            "errorMessage": message,
            "stackTraceHash": f"{rng.getrandbits(128):032x}",
            "context": {**context, **_fingerprint(rng, fingerprint_bytes)},
        },
        "solution": solution,
        "effectiveness": {
            "worked": worked,
            "timeToFixMinutes": _number(min(rng.lognormvariate(3.3, 0.9), 960.0), 1),
            "preventedRecurrence": int(rng.expovariate(0.6)) if worked else 0,
            "relatedErrorsFixed": int(rng.expovariate(1.2)) if worked else 0,
        },
    }
    _with_tags(rng, agent, record)
    record["verifiedCount"] = int(rng.expovariate(0.7)) if worked else 0
    return record


def make_decision(
    rng: Random, agent: str, now: datetime, *, created: datetime | None = None, fingerprint_bytes: int = 0
) -> Record:
    """A decision of an agent, created at ``created`` (UTC) or somewhere in the two years before ``now`` (UTC).

    Of ten outcomes about one is missing, one is null, and two or three are bad.
    """
    phrases = Phrases(rng, domain_of(agent))
    born = _creation(rng, now) if created is None else created
    chosen, *others = phrases.options(3)
    record: Record = {
        "id": make_id(rng),
        "agent": agent,
        "timestamp": iso_ms(born),
        "decision": {
            "type": phrases.pick(words.DECISION_TYPES),
            "question": phrases.draw(words.QUESTIONS),
            "context": {
                "team": phrases.pick(words.TEAMS),
                "load": rng.randrange(100, 100_000),
                "legacy": rng.random() < 0.4,
                "background": phrases.observation(),
                **_fingerprint(rng, fingerprint_bytes),
            },
            "chosenOption": chosen,
            "alternativesConsidered": others,
            "decisionFactors": {
                "primary": phrases.several(words.FACTORS, 2),
                "secondary": [phrases.draw(words.FACTORS)],
            },
            "rationale": f"{phrases.finding()} {_evidence(phrases, fingerprint_bytes)}",
        },
    }
    fate = rng.random()
    if fate >= 0.2:
        record["outcome"] = _outcome(rng, phrases)
    elif fate >= 0.1:
        record["outcome"] = None
    _with_tags(rng, agent, record)
    if fate >= 0.2:
        record["reviewedAt"] = iso_ms(_between(born, now, rng.random()))
    return record


def _pattern_body(rng: Random, phrases: Phrases, domain: Domain, fingerprint_bytes: int) -> Record:
    approach: Record = {"technique": phrases.technique()}
    if rng.random() < 0.55 and not fingerprint_bytes:
        approach["codeTemplate"] = phrases.code()
    approach["rationale"] = f"{phrases.observation()} {_evidence(phrases, fingerprint_bytes)}"
    approach["steps"] = phrases.several(words.STEPS, 3)
    return {
        "type": phrases.pick(domain.pattern_types),
        "context": {
            "framework": phrases.pick(domain.frameworks),
            "size": rng.randrange(1, 1000),
            "strict": rng.random() < 0.5,
            **_fingerprint(rng, fingerprint_bytes),
        },
        "approach": approach,
        "conditions": {
            "whenApplicable": phrases.several(words.APPLICABLE, 2),
            "whenNotApplicable": [phrases.draw(words.NOT_APPLICABLE)],
        },
    }


def _fingerprint(rng: Random, size: int) -> Record:
    """A context entry with so many random bytes, in letters and digits alone so that it is one word; none for 0."""
    return {"fingerprint": b64encode(rng.randbytes(size), b"Aa").decode().rstrip("=")} if size else {}


def _evidence(phrases: Phrases, fingerprint_bytes: int) -> str:
    """Two sentences of evidence, or one where a fingerprint takes the room of the other."""
    return phrases.evidence() if fingerprint_bytes else f"{phrases.evidence()} {phrases.evidence()}"


def _outcome(rng: Random, phrases: Phrases) -> Record:
    good = rng.random() < 0.72
    scores: Record = {"developmentSpeed": _score(rng, good, 2.0)}
    for name in ("apiPerformance", "clientSatisfaction"):
        if rng.random() < 0.4:
            scores[name] = _score(rng, good, 1.0)
    scores["maintainability"] = _score(rng, good, 1.0)
    outcome: Record = {
        "successMetrics": scores,
        "lessonsLearned": phrases.several(words.LESSONS, 2),
        "wouldRepeat": good if rng.random() < 0.9 else not good,
    }
    if rng.random() < 0.4:
        outcome["improvements"] = [phrases.draw(words.STEPS)]
    return outcome


def _score(rng: Random, good: bool, top: float) -> float:
    share = rng.betavariate(5, 2) if good else rng.betavariate(1.5, 6)
    return _number(share * top, 2)


def _with_tags(rng: Random, agent: str, record: Record) -> Record:
    """Adds ``tags`` (to nine of ten records) and ``active``, in the order of the runtime."""
    if rng.random() < 0.9:
        tags = rng.sample(domain_of(agent).tags, rng.randrange(0, 4))
        if rng.random() < 0.02:
            tags.append("pinned" if rng.random() < 0.6 else "keep")
        record["tags"] = tags
    record["active"] = rng.random() >= 0.06
    return record


def _number(value: float, digits: int) -> float:
    """A rounded number that prints as JavaScript would print it: a whole one without ``.0``."""
    rounded = round(value, digits)
    return int(rounded) if rounded.is_integer() else rounded


def _creation(rng: Random, now: datetime) -> datetime:
    return _between(now - timedelta(days=SPAN_DAYS), now, rng.random())


def _between(start: datetime, end: datetime, share: float) -> datetime:
    """The moment at a share (0..1) of the way from start to end, cut to milliseconds; not before start."""
    first = -((_EPOCH - start) // _MS)
    last = max((end - _EPOCH) // _MS, first)
    return _EPOCH + timedelta(milliseconds=first + int((last - first) * share))
