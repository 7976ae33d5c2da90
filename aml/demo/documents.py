"""The documents that stand beside the records in a sample store: settings, figures, notes, audit events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any

from aml.demo.records import Record, iso_ms, make_id

Document = dict[str, Any]


def config(agents: Iterable[str], *, caps: int | None = None) -> Document:
    """The runtime's config.json for these agents; ``caps`` is the most records of a kind that an agent may hold."""
    limits = {} if caps is None else {"maxPatternCount": caps, "maxSolutionCount": caps, "maxDecisionCount": caps}
    return {
        "version": "1.0.0",
        "enabled": True,
        "storage": {
            "backend": "filesystem",
            "path": ".loom/memory",
            "encryption": True,
            "compression": True,
            "maxSizeGb": 1,
            "backupEnabled": True,
            "backupPath": ".loom/memory-backup",
            "backupSchedule": "daily",
        },
        "learning": {
            "minConfidence": 0.3,
            "promotionThreshold": 3,
            "learningRate": 0.1,
            "discountFactor": 0.9,
            "explorationRate": 0.2,
        },
        "pruning": {
            "enabled": True,
            "schedule": "daily",
            "maxAgeDays": 90,
            "minConfidence": 0.2,
            "minUsageRate": 0.1,
            "aggressiveMode": False,
        },
        "sharing": {"crossAgent": True, "crossProject": False, "telemetry": "anonymous", "syncEnabled": False},
        "performance": {
            "cacheEnabled": True,
            "cacheMaxSizeMb": 100,
            "cacheTtlSeconds": 3600,
            "queryTimeoutMs": 50,
            "writeTimeoutMs": 100,
            "indexingEnabled": True,
        },
        "agentOverrides": {name: {"agent": name, "enabled": True, **limits} for name in agents},
    }


def metrics(agent: str, now: datetime, kinds: Mapping[str, list[Record]], sizes: Mapping[str, int]) -> Document:
    """An agent's metrics.json as of ``now`` (UTC); ``sizes`` are bytes of plain JSON by kind."""
    patterns, solutions, decisions = (kinds[kind] for kind in ("patterns", "solutions", "decisions"))
    figures = [pattern["metrics"] for pattern in patterns]
    uses = sum(figure["executionCount"] for figure in figures)
    confidence = [pattern["evolution"]["confidenceScore"] for pattern in patterns]
    return {
        "agent": agent,
        "timestamp": iso_ms(now),
        "performance": {
            "avgQueryLatencyMs": 3.2,
            "avgWriteLatencyMs": 11.6,
            "cacheHitRate": 0.87,
            "totalQueries": uses + len(solutions),
            "totalWrites": sum(map(len, kinds.values())),
        },
        "learning": {
            "totalPatterns": len(patterns),
            "activePatterns": _active(patterns),
            "totalSolutions": len(solutions),
            "activeSolutions": _active(solutions),
            "totalDecisions": len(decisions),
            "activeDecisions": _active(decisions),
            "avgPatternConfidence": round(sum(confidence) / max(len(confidence), 1), 4),
            "avgSolutionConfidence": 0.71,
        },
        "usage": {
            "patternUsageCount": uses,
            "solutionUsageCount": sum(solution["verifiedCount"] for solution in solutions),
            "decisionReferenceCount": len(decisions),
            "errorPreventionCount": sum(figure["errorPreventionCount"] for figure in figures),
            "timeSavedMs": round(sum(figure["executionCount"] * figure["avgTimeSavedMs"] for figure in figures)),
        },
        "storage": {
            "totalSizeBytes": sum(sizes.values()),
            "patternsSizeBytes": sizes["patterns"],
            "solutionsSizeBytes": sizes["solutions"],
            "decisionsSizeBytes": sizes["decisions"],
            "compressionRatio": 1,
        },
        "period": "daily",
    }


def context(agent: str) -> Document:
    """An agent's context.json."""
    return {"project": "storefront", "role": agent, "lang": "ts"}


def shared_documents(now: datetime) -> dict[str, Document]:
    """The documents of the folder ``global``, by file name."""
    return {
        "cross-agent.json": {"patterns": [], "sharedAt": iso_ms(now - timedelta(days=3))},
        "project-meta.json": {"name": "storefront", "languages": ["ts", "py"], "repository": "monorepo"},
        "team-conventions.json": {
            "commits": "imperative mood, one change each",
            "branches": "short-lived, merged by rebase",
            "reviews": "one reviewer, two for payments",
            "testing": "a failing test before each fix",
        },
    }


def audit_events(rng: Random, now: datetime, agents: Iterable[str]) -> list[Document]:
    """A few audit events of each agent from the hours before ``now`` (UTC), oldest first."""
    events: list[Document] = []
    for agent in agents:
        created, exported = (iso_ms(now - timedelta(minutes=rng.randrange(1, 600))) for _ in range(2))
        events.append(
            {
                **_event(rng, created, "pattern_created", agent, "Pattern created"),
                "resourceId": make_id(rng),
                "resourceType": "pattern",
                "success": True,
            }
        )
        events.append(
            {
                **_event(rng, exported, "memory_exported", agent, "Memory exported"),
                "success": True,
                "metadata": {"exportSize": rng.randrange(1_000, 90_000)},
                "sensitiveData": True,
            }
        )
    return sorted(events, key=lambda event: str(event["timestamp"]))


def _event(rng: Random, moment: str, kind: str, agent: str, action: str) -> Document:
    return {"id": make_id(rng), "timestamp": moment, "type": kind, "agent": agent, "action": action}


def _active(records: list[Record]) -> int:
    return sum(record["active"] for record in records)
