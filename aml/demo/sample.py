"""Writes a realistic sample store: five agents, a few hundred records, and the oddities that real stores have.

Four agents hold gzip bytes under the plain names, as the runtime writes them; one holds pretty-printed JSON.
"""

from __future__ import annotations

import shutil
import zlib
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from aml.demo import documents
from aml.demo.records import Record, iso_ms, make_decision, make_id, make_pattern, make_solution

COUNTS: dict[str, tuple[int, int, int]] = {
    "frontend-developer": (64, 20, 15),
    "backend-architect": (72, 24, 18),
    "test-automator": (48, 16, 12),
    "security-auditor": (40, 14, 10),
    "devops-engineer": (46, 15, 12),
}
"""Patterns, solutions and decisions of each agent, not counting the oddities."""

PLAIN_AGENT = "test-automator"
DAMAGED_AGENT = "devops-engineer"
#: What ``spoil`` cuts in half, and the agent whose folder it deletes.
SPOILED_FILE = "frontend-developer/patterns.json"
LOST_AGENT = "security-auditor"

_KINDS = ("patterns", "solutions", "decisions")
_CUT_BYTES = 11

# What a strict encoder refuses is put in by bytes afterwards; the stand-ins are plain letters, hence need no escaping.
_LONE_SURROGATE = "LONE-SURROGATE"
_HUGE_INTEGER = "HUGE-INTEGER"
_STAND_INS = {
    _LONE_SURROGATE.encode(): rb"\ud83d",
    f'"{_HUGE_INTEGER}"'.encode(): str(2**64 + 2**40 + 7).encode(),
}

_README = b"""# Agent memory

One folder per agent. The agents write these files; use the maintenance commands rather than an editor.
"""

Agents = dict[str, dict[str, list[Any]]]


def write_sample_store(root: Path, *, seed: int = 7, now: datetime) -> None:
    """Write a sample store to ``root`` (the memory folder itself), as of ``now`` (UTC).

    The same seed and moment give the same bytes. Raises FileExistsError if ``root`` is there and not an empty folder,
    and ValueError if ``now`` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError("the sample store needs a moment with a time zone")
    _claim(root)
    rng = Random(seed)
    agents = _agents(rng, now)
    earlier = _earlier_copy(agents)
    figures = {agent: documents.metrics(agent, now, kinds, _sizes(kinds)) for agent, kinds in agents.items()}
    _plant_oddities(rng, agents, now)
    for agent, kinds in agents.items():
        _write_agent(root / agent, agent, kinds, figures[agent])
    _damage(root / DAMAGED_AGENT / "decisions.json")
    _write_shared(root, rng, now)
    _write_old_copies(root, rng, now, earlier, figures)


def spoil(root: Path) -> None:
    """Do to a sample store what a bad day does: half of a file is lost, and an agent's folder with all in it."""
    path = root / SPOILED_FILE
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    shutil.rmtree(root / LOST_AGENT)


def _claim(root: Path) -> None:
    """Make the folder; an empty one will do."""
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise FileExistsError(f"{root} is not empty; name a folder that does not exist yet")


def _agents(rng: Random, now: datetime) -> Agents:
    """The ordinary records of all agents, oldest first as agents append them."""
    agents: Agents = {}
    for agent, counts in COUNTS.items():
        made = {
            kind: [maker(rng, agent, now) for _ in range(count)]
            for kind, maker, count in zip(_KINDS, (make_pattern, make_solution, make_decision), counts, strict=True)
        }
        agents[agent] = {kind: sorted(records, key=_timestamp) for kind, records in made.items()}
    return agents


def _timestamp(record: Record) -> str:
    return str(record["timestamp"])


def _earlier_copy(agents: Agents) -> Agents:
    """What the agents held some time ago: the older half of each file."""
    return {
        agent: {kind: records[: len(records) // 2] for kind, records in kinds.items()}
        for agent, kinds in agents.items()
    }


def _sizes(kinds: dict[str, list[Any]]) -> dict[str, int]:
    return {kind: len(_pretty(records)) for kind, records in kinds.items()}


# --- oddities -------------------------------------------------------------------------------------------------------


def _plant_oddities(rng: Random, agents: Agents, now: datetime) -> None:
    """Add the records of which real stores have a few; their places in the files come from the generator."""
    frontend, backend = agents["frontend-developer"], agents["backend-architect"]
    security, testing = agents["security-auditor"], agents[PLAIN_AGENT]
    twin = frontend["patterns"][3]
    _insert(rng, frontend["patterns"], _surrogate_pattern(rng, now))
    _insert(rng, backend["solutions"], _huge_integer_solution(rng, now))
    _insert(rng, security["solutions"], _undated_solution(rng, now))
    _insert(rng, security["patterns"], _never_used_pattern(rng, now))
    _insert(rng, backend["patterns"], _protected_pattern(rng, now))
    _insert(rng, backend["patterns"], {**twin, "agent": "backend-architect"})
    _insert(rng, backend["decisions"], _handwritten_decision(rng, now))
    _insert(rng, testing["patterns"], None)
    for agent, tag in (("frontend-developer", "pinned"), (PLAIN_AGENT, "pinned"), ("security-auditor", "keep")):
        _insert(rng, agents[agent]["patterns"], _pinned_pattern(rng, agent, now, tag))


def _insert(rng: Random, records: list[Any], record: Record | None) -> None:
    """Put a record somewhere in the middle; neither the first nor the last changes."""
    records.insert(rng.randrange(1, len(records)), record)


def _surrogate_pattern(rng: Random, now: datetime) -> Record:
    """A text cut in the middle of an emoji."""
    record = make_pattern(rng, "frontend-developer", now)
    record["pattern"]["approach"]["rationale"] += f" Shipped, the team was happy {_LONE_SURROGATE}"
    return record


def _huge_integer_solution(rng: Random, now: datetime) -> Record:
    """An integer above 2**64 that a float cannot hold exactly."""
    record = make_solution(rng, "backend-architect", now)
    record["problem"]["context"]["requestId"] = _HUGE_INTEGER
    return record


def _undated_solution(rng: Random, now: datetime) -> Record:
    """A timestamp that cannot be parsed, hence an unknown age."""
    record = make_solution(rng, "security-auditor", now)
    record["timestamp"] = "last Tuesday, after the release"
    return record


def _never_used_pattern(rng: Random, now: datetime) -> Record:
    """A pattern without ``lastUsed``."""
    record = make_pattern(rng, "security-auditor", now, created=now - timedelta(days=400))
    del record["evolution"]["lastUsed"]
    return record


def _protected_pattern(rng: Random, now: datetime) -> Record:
    """Worth 0.97, but not used for 120 days."""
    record = make_pattern(rng, "backend-architect", now, created=now - timedelta(days=500))
    record["metrics"] = {"successRate": 0.98, "executionCount": 140, "avgTimeSavedMs": 2600, "errorPreventionCount": 21}
    record["evolution"] |= {"lastUsed": iso_ms(now - timedelta(days=120)), "confidenceScore": 0.94}
    record["active"] = True
    return record


def _pinned_pattern(rng: Random, agent: str, now: datetime, tag: str) -> Record:
    """Old and of little value, but a person has asked to keep it."""
    record = make_pattern(rng, agent, now, created=now - timedelta(days=600))
    record["metrics"] |= {"successRate": 0.12, "executionCount": 1, "avgTimeSavedMs": 40, "errorPreventionCount": 0}
    record["evolution"] |= {"lastUsed": iso_ms(now - timedelta(days=420)), "confidenceScore": 0.11}
    record["tags"] = [tag]
    record["active"] = True
    return record


def _handwritten_decision(rng: Random, now: datetime) -> Record:
    """An outcome written by hand, in snake_case."""
    record = make_decision(rng, "backend-architect", now, created=now - timedelta(days=200))
    record["outcome"] = {
        "success_metrics": {"developmentSpeed": 0.7, "maintainability": 0.4},
        "lessons_learned": ["Two queues were one too many"],
        "would_repeat": False,
    }
    return record


# --- files ----------------------------------------------------------------------------------------------------------


def _pretty(value: object) -> bytes:
    """JSON as the runtime writes it: two spaces, no final newline."""
    import orjson

    text = orjson.dumps(value, option=orjson.OPT_INDENT_2)
    for stand_in, real in _STAND_INS.items():
        text = text.replace(stand_in, real)
    return text


def _gzip(data: bytes) -> bytes:
    """One gzip member with the header of the runtime, which holds no time."""
    return zlib.compress(data, level=6, wbits=31)


def _write(path: Path, value: object, *, plain: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = _pretty(value)
    path.write_bytes(data if plain else _gzip(data))


def _write_agent(folder: Path, agent: str, kinds: dict[str, list[Any]], figures: documents.Document) -> None:
    plain = agent == PLAIN_AGENT
    for kind, records in kinds.items():
        _write(folder / f"{kind}.json", records, plain=plain)
    _write(folder / "metrics.json", figures, plain=plain)
    _write(folder / "context.json", documents.context(agent), plain=plain)


def _damage(path: Path) -> None:
    """Cut the file short, as a full disk does."""
    path.write_bytes(path.read_bytes()[:-_CUT_BYTES])


def _write_shared(root: Path, rng: Random, now: datetime) -> None:
    """Settings, read-me, global documents and one audit file."""
    _write(root / "config.json", documents.config(COUNTS), plain=True)
    (root / "README.md").write_bytes(_README)
    for name, document in documents.shared_documents(now).items():
        _write(root / "global" / name, document, plain=False)
    events = documents.audit_events(rng, now, COUNTS)
    _write(root / "audit" / f"audit-{_file_stamp(now)}.json", events, plain=True)


def _write_old_copies(
    root: Path, rng: Random, now: datetime, earlier: Agents, figures: dict[str, documents.Document]
) -> None:
    """A copy of one agent under ``backup/``, and a whole one that an old runtime left at the top level."""
    agent = "frontend-developer"
    taken = now - timedelta(days=21)
    _write_agent(root / "backup" / f"{agent}-{_file_stamp(taken)}", agent, earlier[agent], figures[agent])
    left = int((now - timedelta(days=190)).timestamp() * 1000)
    folder = root / f"backup-{left}-{make_id(rng)[-9:]}"
    for name in ("frontend-developer", "backend-architect", PLAIN_AGENT):
        _write_agent(folder / name, name, earlier[name], figures[name])


def _file_stamp(moment: datetime) -> str:
    """A moment in the form that the runtime uses in file names: ``2026-11-20T15-56-15-734Z``."""
    return iso_ms(moment).replace(":", "-").replace(".", "-")
