"""Checks of what the files of a store hold: all of them are read each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from aml.errors import AmlError, ChangedError
from aml.model.kinds import KINDS
from aml.model.schema import ORDINARY_MIX, READABLE, UNREADABLE, VERSIONS
from aml.model.timestamps import to_iso
from aml.model.undecodable import UNDECODABLE
from aml.monitor.checks.check import Check, Measure
from aml.monitor.findings import Finding, Level
from aml.monitor.inspection import Inspection
from aml.monitor.reading import FileFacts
from aml.monitor.survey import Role
from aml.store.layout import RecordFile
from aml.store.read import read_content

if TYPE_CHECKING:
    from aml.repository.snapshots import Snapshot

#: So many faults of a file, or versions, are named one by one.
_NAMED = 10

_unwhole = partial(Finding, "integrity")
_refused = partial(Finding, "runtime_readable")
_mixed = partial(Finding, "schema")
_full = partial(Finding, "caps")


def _records(number: int) -> str:
    return f"{number:,} record" if number == 1 else f"{number:,} records"


def _integrity(seen: Inspection) -> Measure:
    findings = [_unwhole(path, Level.ERROR, error.message, error.advice) for path, error in seen.survey.unlisted]
    damaged = [facts.file.path for facts in seen.files if facts.damage is not None]
    copies = _whole_copies(seen, damaged)
    for facts in seen.files:
        way_back = _way_back(facts, copies) if facts.damage is not None else ""
        findings += _faults_of(facts, way_back)
    return Measure(tuple(findings), len(damaged), 0, "damaged files")


def _whole_copies(seen: Inspection, paths: list[str]) -> dict[str, Snapshot] | None:
    """The backups that hold damaged files as they were before, by path; None where backups cannot be looked at."""
    if not paths:
        return {}
    from aml.monitor.whole_copies import newest_whole  # which needs to know repositories from within

    try:
        return newest_whole(seen.store, seen.destination, seen.snapshots, paths)
    except AmlError:
        # what is wrong with the backups is told by their own checks
        return None


def _way_back(facts: FileFacts, copies: dict[str, Snapshot] | None) -> str:
    """What brings a damaged file back, or what can still be had of it."""
    copy = (copies or {}).get(facts.file.path)
    if copy is not None:
        when = to_iso(copy.manifest.time.timestamp())
        restore = f"aml backup restore {copy.id} --path {quote(facts.file.path)} brings it back as it was at {when}"
    elif copies is None:
        restore = "whether a backup holds it whole cannot be told"
    else:
        restore = "no backup holds it whole"
    if facts.file.role is not Role.RECORDS:
        return restore if copy is not None else f"{restore}, so correct it by hand"
    if not facts.file.size:
        return f"{restore}; aml optimize gc takes an empty file away"
    return f"{restore}; aml optimize gc --salvage --dry-run shows what can still be read of it"


def _faults_of(facts: FileFacts, way_back: str) -> Iterator[Finding]:
    subject = facts.file.subject
    if facts.damage is not None:
        advice = facts.advice or way_back
        yield _unwhole(subject, Level.CRITICAL, f"the file is damaged: {facts.damage}", advice)
    elif isinstance(facts.error, ChangedError):
        yield _unwhole(subject, Level.WARNING, facts.error.message, facts.error.advice)
    elif facts.error is not None:
        yield _unwhole(subject, Level.ERROR, facts.error.message, facts.error.advice)
    odd = facts.odd - facts.too_new
    if odd:
        details = tuple(f"position {position}: {reason}" for position, reason in facts.first_odd)
        message = f"{odd:,} of {facts.records:,} elements cannot be read as records"
        advice = "aml optimize gc takes nulls away; what else is odd stays, and is to be mended by hand"
        yield _unwhole(subject, Level.WARNING, message, advice, odd, 0, "elements", details)


def _runtime_readable(seen: Inspection) -> Measure:
    findings = []
    total = 0
    for facts in seen.files:
        if facts.whole_refused is not None:
            message = f"the agents' runtime cannot read this file: {facts.whole_refused}"
            advice = "write that value as JSON allows it, or restore the file from a backup"
            findings.append(_refused(facts.file.subject, Level.WARNING, message, advice))
        elif facts.refused:
            findings.append(_refusals(facts))
        total += sum(one.count for one in facts.refused.values())
    return Measure(tuple(findings), total, 0, "records")


def _refusals(facts: FileFacts) -> Finding:
    """What the runtime would refuse of one file, the most frequent fault first."""
    faults = sorted(facts.refused.items(), key=lambda item: -item[1].count)
    number = sum(one.count for _, one in faults)
    reasons = [f"{reason} ({one.count:,}, first at {one.first[0][0]})" for reason, one in faults[:3]]
    more = f" and {len(faults) - 3} more faults" if len(faults) > 3 else ""
    message = (
        f"the agents' runtime would refuse {number:,} of {_records(facts.records)}, and with them each query of that "
        f"file: {', '.join(reasons)}{more}"
    )
    details = tuple(
        f"{_records(one.count)}: {reason}; first at "
        + ", ".join(f"{position} ({ident})" if ident else str(position) for position, ident in one.first)
        for reason, one in faults[:_NAMED]
    )
    advice = f"aml monitor health -v tells which; correct them in {quote(facts.file.path)} while no agent runs"
    if facts.odd:
        advice += "; aml optimize gc takes nulls away"
    if any(facts.versions[version] for version in UNREADABLE):
        advice = f"aml migrate down --to {READABLE} makes them readable again"
    return _refused(facts.file.subject, Level.WARNING, message, advice, number, 0, "records", details)


def _schema(seen: Inspection) -> Measure:
    versions: Counter[str] = Counter()
    for facts in seen.record_files:
        versions.update(facts.versions)
    findings = [
        _mixed(
            facts.file.subject,
            Level.ERROR,
            f"{_records(facts.too_new)} of a schema that is newer than this AML",
            "use a newer AML for this store",
            facts.too_new,
            0,
            "records",
        )
        for facts in seen.record_files
        if facts.too_new
    ]
    present = {version for version, number in versions.items() if number}
    groups = {"1.1.0" if version in ORDINARY_MIX else version for version in present}
    told = _listed([f"{version}: {versions[version]:,}" for version in sorted(present)])
    if unknown := sorted(present.difference(VERSIONS)):
        message = f"records name schema versions that never were: {_listed(unknown)}"
        findings.append(_mixed("unknown", Level.WARNING, message, "see what wrote them; aml migrate detect tells more"))
    if len(groups) > 1:
        level = Level.WARNING if groups & UNREADABLE else Level.INFO
        message = f"records of several schema versions stand side by side ({told})"
        advice = "aml migrate detect tells which files; "
        advice += f"aml migrate down --to {READABLE}" if groups & UNREADABLE else "aml migrate up"
        advice += " --dry-run, and then without that"
        findings.append(_mixed("mixed", level, message, advice, len(groups), 1, "versions"))
    return Measure(tuple(findings), len(groups), 1, "versions")


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _NAMED:,} more" if len(words) > _NAMED else ""
    return ", ".join(words[:_NAMED]) + more


def _resurrected(seen: Inspection) -> Measure:
    _ = seen.history  # where that cannot be read, nothing can be said
    findings = tuple(
        Finding(
            "resurrected",
            facts.file.subject,
            Level.WARNING,
            f"{_records(facts.came_back)} came back after an earlier run removed them, most likely from the cache of a "
            "live agent",
            "prune while the agents are idle, or restart them; they are judged again like any record",
            facts.came_back,
            0,
            "records",
        )
        for facts in seen.record_files
        if facts.came_back
    )
    return Measure(findings, sum(facts.came_back for facts in seen.record_files), 0, "records")


class _Caps(Struct):
    """The caps of one agent, by the runtime's own names."""

    maxPatternCount: int | None = None  # noqa: N815
    maxSolutionCount: int | None = None  # noqa: N815
    maxDecisionCount: int | None = None  # noqa: N815

    def of(self, kind: str) -> int | None:
        by_kind = {
            "patterns": self.maxPatternCount,
            "solutions": self.maxSolutionCount,
            "decisions": self.maxDecisionCount,
        }
        return by_kind[kind]


class _Config(Struct):
    """What of the runtime's config.json is of use here."""

    agentOverrides: dict[str, msgspec.Raw] = {}  # noqa: N815


def _caps(seen: Inspection) -> Measure:
    limits = seen.thresholds
    usual = {"patterns": limits.max_patterns, "solutions": limits.max_solutions, "decisions": limits.max_decisions}
    own = _own_caps(seen)
    findings = []
    worst = 0.0
    for facts in seen.record_files:
        kind = next(kind.plural for kind in KINDS if kind.file_name == facts.file.name)
        cap = own.get(facts.file.folder, _Caps()).of(kind) or usual[kind]
        if not cap:
            continue
        worst = max(worst, facts.records / cap)
        if facts.records < limits.near_cap * cap:
            continue
        over = facts.records > cap
        message = f"{facts.records:,} {kind}, and the agents' runtime keeps {cap:,}: "
        message += "at its next write it" if over else "beyond that it"
        message += " drops the least confident, without an archive"
        advice = f"aml prune --agent {quote(facts.file.folder)} --dry-run, or raise the cap in config.json of the store"
        level = Level.ERROR if over else Level.WARNING
        findings.append(_full(facts.file.subject, level, message, advice, facts.records, cap, "records"))
    return Measure(tuple(findings), round(worst, 4), limits.near_cap, "share of the cap")


def _own_caps(seen: Inspection) -> dict[str, _Caps]:
    """The caps that the store's own config.json sets, by agent; what cannot be read there sets none."""
    path = seen.store.root / "config.json"
    try:
        text = read_content(RecordFile("", "config", path), seen.store.max_unpacked_bytes).text
        overrides = msgspec.json.decode(text, type=_Config).agentOverrides
    except AmlError:
        return {}
    except UNDECODABLE:
        return {}
    found = {}
    for agent, raw in overrides.items():
        try:
            found[agent] = msgspec.json.decode(raw, type=_Caps)
        except UNDECODABLE:
            continue
    return found


CONTENTS = (
    Check("integrity", "every file is whole, and every element of it a record", _integrity),
    Check("runtime_readable", "the agents' runtime would take every record", _runtime_readable),
    Check("schema", "the schema versions of the records are known here, and go together", _schema),
    Check("resurrected", "what was removed stayed away", _resurrected),
    Check("caps", "no agent is near what the runtime lets it keep", _caps),
)
