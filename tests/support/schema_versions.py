"""Records of every schema version that mean the same, written by hand from the description of the schema.

What a record means is a ``Meaning``, made at random from a seed; ``written`` puts it down in any of the versions, and
``read_meaning`` reads it back from any. Nothing here goes through the code under test.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.support.records import NOW, Record
from tests.support.stores import Form, make_store, read_array

VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "2.0.0")
KINDS = ("patterns", "solutions", "decisions")
NEWEST = VERSIONS[-1]

_TAGS = ("api", "cache", "grün", "rare")
_WORDS = (
    "cache",
    "price list",
    "naïve",
    "学び",
    "timeout",
    "\U0001f9e0",
    "read-through",
    'quote " and \\',
    "tab\there",
)


@dataclass(frozen=True)
class Meaning:
    """What one record says, whatever its version. Times are UTC; None is not stated."""

    kind: str
    ident: str
    agent: str
    created: datetime | None
    last_used: datetime | None
    tags: tuple[str, ...]
    active: bool
    text: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    """Unknown fields, at the top level and in every object below it."""


# ---- making meanings


def meanings(kind: str, agent: str, count: int, seed: int) -> list[Meaning]:
    """So many records of a kind; together they meet every rule of pruning, and none of them."""
    chance = random.Random(f"{kind} {agent} {seed}")
    return [_meaning(kind, agent, chance) for _ in range(count)]


def _meaning(kind: str, agent: str, chance: random.Random) -> Meaning:
    created = _days_ago(chance.choice([1, 5, 40, 130, 200, 260, 400, 800]) + chance.randrange(10))
    used = created + (NOW - created) * chance.choice([0, 0.1, 0.5, 0.9])
    # schema 1.0.0 has no place for both, so that no record of it could mean both
    tags, active = chance.choice([((), True), ((), False), (tuple(chance.sample(_TAGS, 2)), True)])
    figures = {"patterns": _pattern_figures, "solutions": _solution_figures, "decisions": _decision_figures}[kind]
    return Meaning(
        kind=kind,
        ident=str(UUID(int=chance.getrandbits(128), version=4)),
        agent=agent,
        created=created,
        last_used=_whole(used) if kind != "solutions" and chance.random() < 0.8 else None,
        tags=tags,
        active=active,
        text=" ".join(chance.sample(_WORDS, 3)),
        figures=figures(chance),
        own={"x-own": {"deep": [chance.randrange(9), None]}, "zz": chance.random()} if chance.random() < 0.5 else {},
    )


def _pattern_figures(chance: random.Random) -> dict[str, Any]:
    return _some(
        chance,
        success=chance.choice([0, 0.1, 0.25, 0.5, 0.9, 1.0, 1]),
        executions=chance.choice([0, 1, 3, 8, 30, 9999]),
        saved_ms=chance.choice([0, 12.5, 400, 5000]),
        prevented=chance.randrange(4),
        confidence=chance.choice([0.05, 0.2, 0.5, 0.84, 0.85, 1.0]),
        refinements=chance.randrange(4),
    )


def _solution_figures(chance: random.Random) -> dict[str, Any]:
    return _some(
        chance,
        worked=chance.random() < 0.5,
        verified=chance.randrange(5),
        recurrence=chance.randrange(6),
        minutes=chance.choice([3, 12.5]),
    )


def _decision_figures(chance: random.Random) -> dict[str, Any]:
    return _some(
        chance,
        speed=chance.choice([0.1, 0.75, 1.4, 2.0]),
        performance=chance.choice([0.1, 0.5, 0.9]),
        again=chance.random() < 0.6,
    )


def _some(chance: random.Random, **figures: Any) -> dict[str, Any]:
    """Most of them: one now and then is not stated."""
    return {name: value for name, value in figures.items() if chance.random() < 0.9}


def _days_ago(days: int) -> datetime:
    return NOW - timedelta(days=days)


def _whole(moment: datetime) -> datetime:
    """To the second, so that every way to write a time can say it."""
    return moment.replace(microsecond=0)


# ---- writing them down


def written(meant: Meaning, version: str) -> Record:
    """The record in that version, in the order of keys in which the runtime writes it."""
    level = VERSIONS.index(version)
    moment = _old_spelling(meant) if level == 0 else _spelt_with_offset
    body = {"patterns": _pattern, "solutions": _solution, "decisions": _decision}[meant.kind]
    record: Record = {"id": meant.ident, "agent": meant.agent, **_stated(timestamp=_spelt(meant.created, moment))}
    if level == 3:
        record = {"version": "2.0.0"} | record
    record |= body(meant, level, moment)
    record |= _tags_and_active(meant, level)
    if level >= 2:
        modified = _spelt_with_offset(meant.created or NOW)
        record["metadata"] = {"created_by": meant.agent, "last_modified": modified, "version": version}
        if meant.kind == "patterns":
            record["variations"] = []
    return record | dict(meant.own)


def _pattern(meant: Meaning, level: int, moment: Any) -> Record:
    figures, new = meant.figures, level == 3
    rates = _stated(
        **{
            "success_rate" if new else "successRate": figures.get("success"),
            "execution_count" if new else "executionCount": figures.get("executions"),
            "avg_time_saved_ms" if new else "avgTimeSavedMs": figures.get("saved_ms"),
            "error_prevention_count" if new else "errorPreventionCount": figures.get("prevented"),
        }
    )
    course = _stated(
        **{
            "created_at" if new else "created": _spelt(meant.created, moment),
            "last_used_at" if new else "lastUsed": _spelt(meant.last_used, moment),
            "refinement_count" if new else "refinements": figures.get("refinements"),
            "confidence" if new else "confidenceScore": figures.get("confidence"),
        }
    )
    return {
        "pattern": {"type": "cache-aside", "context": {"note": meant.text}, "approach": {"technique": meant.text}},
        "performance" if new else "metrics": rates | dict(meant.own),
        "lifecycle" if new else "evolution": course | dict(meant.own),
    }


def _solution(meant: Meaning, level: int, moment: Any) -> Record:
    figures = meant.figures
    effect = _stated(
        worked=figures.get("worked"),
        timeToFixMinutes=figures.get("minutes"),
        preventedRecurrence=figures.get("recurrence"),
    )
    return {
        "problem": {"errorType": "TimeoutError", "errorMessage": meant.text, "context": {}},
        "solution": {"rootCause": "none", "fixApproach": meant.text, "prevention": ""} | dict(meant.own),
        "effectiveness": effect | dict(meant.own),
        **_stated(verifiedCount=figures.get("verified")),
    }


def _decision(meant: Meaning, level: int, moment: Any) -> Record:
    figures = meant.figures
    scores = _stated(developmentSpeed=figures.get("speed"), apiPerformance=figures.get("performance"))
    outcome = {"successMetrics": scores, "lessonsLearned": [], **_stated(wouldRepeat=figures.get("again"))}
    return {
        "decision": {"type": "library", "question": meant.text, "context": {}, "chosenOption": "zod"} | dict(meant.own),
        "outcome": outcome | dict(meant.own),
        **_stated(reviewedAt=_spelt(meant.last_used, moment)),
    }


def _tags_and_active(meant: Meaning, level: int) -> Record:
    """Both from 1.1.0 on; before that what is not the default, and where that is nothing sometimes one of them."""
    if level:
        return {"tags": list(meant.tags), "active": meant.active}
    if meant.tags:
        return {"tags": list(meant.tags)}
    if not meant.active:
        return {"active": False}
    return [{}, {"tags": []}, {"active": True}][int(meant.ident[0], 16) % 3]  # type: ignore[return-value]


def _stated(**values: Any) -> Record:
    return {name: value for name, value in values.items() if value is not None}


def _spelt(moment: datetime | None, spelling: Any) -> Any:
    return None if moment is None else spelling(moment)


def _spelt_with_offset(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _old_spelling(meant: Meaning) -> Any:
    """One of the ways in which times are found in old records: always the same for one record."""
    ways = (
        lambda moment: moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z",
        lambda moment: moment.replace(tzinfo=None).isoformat(),
        lambda moment: moment.astimezone(timezone(timedelta(hours=2))).isoformat(),
        lambda moment: int(moment.timestamp()),
        lambda moment: int(moment.timestamp()) * 1000,
        lambda moment: moment.replace(tzinfo=None).isoformat(sep=" "),
    )
    return ways[int(meant.ident[1], 16) % len(ways)]


# ---- stores


def agents_of(count: int = 24, seed: int = 1) -> dict[str, dict[str, list[Meaning]]]:
    """Two agents with so many records of each kind (the second has half of them)."""
    sizes = {"alpha": count, "beta": count // 2}
    return {agent: {kind: meanings(kind, agent, size, seed) for kind in KINDS} for agent, size in sizes.items()}


def versioned_store(
    project: Path,
    version: str,
    *,
    form: Form = "plain",
    agents: Mapping[str, Mapping[str, Sequence[Meaning]]] | None = None,
) -> Path:
    """A store whose records all have this version; ``mixed`` for versions that take turns."""
    records = {
        agent: {
            kind: [
                written(one, VERSIONS[(place + len(kind)) % len(VERSIONS)] if version == "mixed" else version)
                for place, one in enumerate(meant)
            ]
            for kind, meant in kinds.items()
        }
        for agent, kinds in (agents or agents_of()).items()
    }
    return make_store(project, records, form=form)


def all_records(memory: Path) -> Iterator[tuple[str, str, Any]]:
    """Agent, kind and value of each element of every record file of a store."""
    for agent in sorted(path.name for path in memory.iterdir() if path.is_dir() and path.name != "config"):
        for kind in KINDS:
            if (memory / agent / f"{kind}.json").exists():
                for record in read_array(memory / agent / f"{kind}.json"):
                    yield agent, kind, record


# ---- reading them back


def version_in(record: Mapping[str, Any]) -> str:
    """What the marks say."""
    if isinstance(record.get("version"), str) and record["version"] in VERSIONS:
        return str(record["version"])
    if isinstance(record.get("metadata"), dict):
        return "1.2.0"
    return "1.1.0" if record.get("tags") is not None and record.get("active") is not None else "1.0.0"


def read_meaning(kind: str, record: Mapping[str, Any]) -> Meaning:
    """What a record of any version says; fails by an error where ``written`` might not have written it."""
    new = kind == "patterns" and version_in(record) == "2.0.0"
    rates = _taken(record, "performance" if new else "metrics")
    course = _taken(record, "lifecycle" if new else "evolution")
    created = _moment(record.get("timestamp"))
    if kind == "patterns":
        begun = _moment(course.get("created_at" if new else "created"))
        assert begun == created, f"the record says two times of creation: {record}"
    used = course.get("last_used_at" if new else "lastUsed") if kind == "patterns" else record.get("reviewedAt")
    figures, text = _FIGURES[kind](record, rates, course, new)
    return Meaning(
        kind=kind,
        ident=record["id"],
        agent=record["agent"],
        created=created,
        last_used=_moment(used),
        tags=tuple(record.get("tags") or ()),
        active=record.get("active") is not False,
        text=text,
        figures=_stated(**figures),
        own={name: record[name] for name in ("x-own", "zz") if name in record},
    )


def _taken(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name, {})
    assert isinstance(found, dict)
    return found


def _of_pattern(
    record: Mapping[str, Any], rates: Mapping[str, Any], course: Mapping[str, Any], new: bool
) -> tuple[dict[str, Any], str]:
    assert all(inner.get("zz") == record.get("zz") for inner in (rates, course)), "an inner field of its own is gone"
    return {
        "success": rates.get("success_rate" if new else "successRate"),
        "executions": rates.get("execution_count" if new else "executionCount"),
        "saved_ms": rates.get("avg_time_saved_ms" if new else "avgTimeSavedMs"),
        "prevented": rates.get("error_prevention_count" if new else "errorPreventionCount"),
        "confidence": course.get("confidence" if new else "confidenceScore"),
        "refinements": course.get("refinement_count" if new else "refinements"),
    }, record["pattern"]["approach"]["technique"]


def _of_solution(
    record: Mapping[str, Any], rates: Mapping[str, Any], course: Mapping[str, Any], new: bool
) -> tuple[dict[str, Any], str]:
    effect = record["effectiveness"]
    assert effect.get("zz") == record.get("zz"), "an inner field of its own is gone"
    return {
        "worked": effect.get("worked"),
        "verified": record.get("verifiedCount"),
        "recurrence": effect.get("preventedRecurrence"),
        "minutes": effect.get("timeToFixMinutes"),
    }, record["problem"]["errorMessage"]


def _of_decision(
    record: Mapping[str, Any], rates: Mapping[str, Any], course: Mapping[str, Any], new: bool
) -> tuple[dict[str, Any], str]:
    outcome = record["outcome"]
    assert outcome.get("zz") == record.get("zz"), "an inner field of its own is gone"
    return {
        "speed": outcome["successMetrics"].get("developmentSpeed"),
        "performance": outcome["successMetrics"].get("apiPerformance"),
        "again": outcome.get("wouldRepeat"),
    }, record["decision"]["question"]


_FIGURES = {"patterns": _of_pattern, "solutions": _of_solution, "decisions": _of_decision}


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
