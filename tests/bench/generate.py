"""Makes benchmark stores from a seed: ``python -m tests.bench.generate ROOT --items N``.

Records take about 1.7 KB pretty-printed; 20 % are solutions, 15 % decisions, the rest patterns, with dates over the two
years before now. They carry a fingerprint of random bytes, by which a file shrinks to about 30 % by compression.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

import orjson

from aml.demo import documents
from aml.demo.records import Record, make_decision, make_pattern, make_solution
from aml.demo.sample import COUNTS
from tests.support.records import to_v120

Form = Literal["plain", "gzip"]
Schema = Literal["1.0.0", "1.2.0"]

SOLUTION_SHARE = 0.20
DECISION_SHARE = 0.15
FINGERPRINT_BYTES = 200
"""Random bytes in each record; 0 gives text alone, which shrinks to about 20 %."""
NOTE_FINGERPRINT_BYTES = 450
"""Random bytes in the record of a small file, by which it takes 2 KB."""
NOTES_EACH = 1000
"""Small files in one folder at most."""

_MAKERS: dict[str, Callable[..., Record]] = {
    "patterns": make_pattern,
    "solutions": make_solution,
    "decisions": make_decision,
}


def generate(
    root: Path,
    *,
    items: int,
    seed: int = 7,
    form: Form = "plain",
    patterns_only: bool = False,
    agents: int = 5,
    small_files: int = 0,
    garbage: float = 0.0,
    schema: Schema | None = None,
    now: datetime | None = None,
) -> int:
    """Make a store of so many records at ``root`` (the memory folder itself); returns the bytes written.

    ``garbage`` is the share of elements that are nulls, records without agent, and older versions of another record.
    ``schema`` is the version of every record; without it they are of 1.0.0 and 1.1.0, as agents write them.
    ``small_files`` adds so many documents of 2 KB (when plain), in folders ``notes-<n>`` shared out among the agents.
    The same arguments give the same bytes if ``now`` (UTC) is given; else it is the present. Raises FileExistsError if
    ``root`` exists.
    """
    root.mkdir(parents=True)
    moment = datetime.now(UTC) if now is None else now
    names = agent_names(agents)
    written = _write(root / "config.json", documents.config(names, caps=items + 1), "plain")
    rng = Random(seed)
    for agent, share in zip(names, _shares(items, agents), strict=True):
        for kind, count in _kind_counts(share, patterns_only=patterns_only).items():
            maker = _MAKERS[kind]
            made = [maker(rng, agent, moment, fingerprint_bytes=FINGERPRINT_BYTES) for _ in range(count)]
            records: list[Record | None] = [_in_schema(record, schema) for record in made]
            _spoil(records, rng, garbage)
            written += _write(root / agent / f"{kind}.json", records, form)
    return written + _write_notes(root, names, small_files, rng, moment, form)


def derive(
    source: Path, root: Path, *, form: Form = "plain", garbage: float = 0.0, schema: Schema | None = None, seed: int = 7
) -> None:
    """Make of a plain store without garbage another one at ``root``, as ``generate`` does; much faster.

    Raises FileExistsError if ``root`` exists.
    """
    root.mkdir(parents=True)
    rng = Random(seed)
    for path in sorted(source.rglob("*.json")):
        target = root / path.relative_to(source)
        value = orjson.loads(path.read_bytes())
        if path.stem in _MAKERS:
            value = [_in_schema(record, schema) for record in value]
            _spoil(value, rng, garbage)
        _write(target, value, form if path.parent != source else "plain")


def _in_schema(record: Record, schema: Schema | None) -> Record:
    if schema == "1.0.0":
        return {key: value for key, value in record.items() if key not in ("tags", "active")}
    return to_v120(record) if schema == "1.2.0" else record


def _spoil(records: list[Record | None], rng: Random, share: float) -> None:
    """Put garbage among the records, in place of so large a share of them."""
    for turn, place in enumerate(sorted(rng.sample(range(1, len(records)), round(len(records) * share)))):
        record = records[place]
        if record is None or turn % 3 == 0:
            records[place] = None
        elif turn % 3 == 1:
            records[place] = {key: value for key, value in record.items() if key != "agent"}
        else:
            records[place] = {**(records[0] or {}), "tags": ["older"], "reviewedAt": "2001-01-01T00:00:00.000Z"}


def _write_notes(root: Path, names: Sequence[str], count: int, rng: Random, moment: datetime, form: Form) -> int:
    """Small documents, each a record; returns the bytes written."""
    written = 0
    for place in range(count):
        folder = place // NOTES_EACH
        agent = names[folder % len(names)]
        note = make_pattern(rng, agent, moment, fingerprint_bytes=NOTE_FINGERPRINT_BYTES)
        written += _write(root / agent / f"notes-{folder + 1:02}" / f"{place + 1:05}.json", note, form)
    return written


def agent_names(count: int) -> list[str]:
    """The names of so many agents: those of the sample store first."""
    known = list(COUNTS)
    return [known[place] if place < len(known) else f"agent-{place + 1:02}" for place in range(count)]


def _shares(items: int, agents: int) -> list[int]:
    """The items of each agent; the first ones take what does not divide evenly."""
    base, rest = divmod(items, agents)
    return [base + (place < rest) for place in range(agents)]


def _kind_counts(items: int, *, patterns_only: bool) -> dict[str, int]:
    solutions = 0 if patterns_only else round(items * SOLUTION_SHARE)
    decisions = 0 if patterns_only else round(items * DECISION_SHARE)
    return {"patterns": items - solutions - decisions, "solutions": solutions, "decisions": decisions}


def _write(path: Path, value: Any, form: Form) -> int:
    data = orjson.dumps(value, option=orjson.OPT_INDENT_2)
    if form == "gzip":
        data = zlib.compress(data, level=6, wbits=31)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.write_bytes(data)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.generate", description="Make a benchmark store.")
    parser.add_argument("root", type=Path, help="the memory folder to make; it must not exist")
    parser.add_argument("--items", type=int, required=True, help="records in all")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--form", choices=get_args(Form), default="plain")
    parser.add_argument("--patterns-only", action="store_true", help="neither solutions nor decisions")
    parser.add_argument("--agents", type=int, default=5)
    parser.add_argument("--garbage", type=float, default=0.0, help="share of the elements that are garbage")
    parser.add_argument("--schema", choices=get_args(Schema), help="the version of every record")
    parser.add_argument("--small-files", type=int, default=0, help="so many documents of 2 KB beside the records")
    options = parser.parse_args(arguments)
    if options.items < 0 or options.small_files < 0 or options.agents < 1:
        parser.error("--items and --small-files must not be negative, and --agents at least 1")
    written = generate(
        options.root,
        items=options.items,
        seed=options.seed,
        form=options.form,
        patterns_only=options.patterns_only,
        agents=options.agents,
        small_files=options.small_files,
        garbage=options.garbage,
        schema=options.schema,
    )
    print(f"{options.items} records, {written / 1e6:.1f} MB in {options.root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
