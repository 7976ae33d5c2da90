"""The table of fault points in docs/reliability.md: how many there are for each command, and how many are tried.

python -m tests.fault.table            write it (some two minutes: every scenario is run once without a fault)
python -m tests.fault.table --print    show it
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fault import (
    test_alert_faults,
    test_backup_faults,
    test_beside_faults,
    test_compress_faults,
    test_gc_faults,
    test_index_faults,
    test_migrate_faults,
    test_prune_faults,
    test_space_faults,
)
from tests.fault.backups import BackupRunner
from tests.fault.beside import BesideRunner
from tests.fault.children import Children, Point
from tests.fault.garbage_runner import GarbageRunner, RestlessChildren
from tests.fault.points import few, sample, share
from tests.fault.runner import STORE, FaultRunner

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- Written by tests/fault/table.py: begin -->", "<!-- Written by tests/fault/table.py: end -->"

_GROUPS = ("backup", "optimize", "monitor", "config", "migrate")


@dataclass
class Row:
    """One command: scenarios, calls that change a file in all of them, points, and how many of these are tried."""

    scenarios: int = 0
    calls: int = 0
    points: int = 0
    by_default: int = 0
    slow: int = 0


def command_of(words: Sequence[str]) -> str:
    """The command that a command line is about, by the words that tell what it does."""
    if words[0] in _GROUPS:
        return " ".join(words[: 3 if words[1] == "alerts" else 2])
    special = [word for word in words[1:] if word in ("undo", "--apply", "--plan")]
    return " ".join([words[0], *special])


def scenarios(
    children: Children, restless: Children, place: Path
) -> Iterator[tuple[Sequence[str], list[Point], int, int]]:
    """Of each scenario: its words, all its points, and how many of them the tests try by default and marked slow."""
    with_replacements: tuple[tuple[Any, Any, Children], ...] = (
        (test_prune_faults, FaultRunner, children),
        (test_space_faults, FaultRunner, children),
        (test_compress_faults, FaultRunner, children),
        (test_migrate_faults, test_migrate_faults.MigrateRunner, restless),
    )
    for module, make, server in with_replacements:
        for number, one in enumerate(module.SCENARIOS.values()):
            runner = make(one, server, place / module.__name__ / str(number))
            points = runner.points()
            tried = sample(points, module.STEP, module.AT_LEAST, STORE)
            yield runner.words, points, len(tried), _slow(runner, one.faults, module.ONE_IN)
    more: tuple[tuple[Any, Any, Children], ...] = (
        (test_gc_faults, GarbageRunner, restless),
        (test_backup_faults, BackupRunner, children),
        (test_beside_faults, BesideRunner, children),
    )
    for module, make, server in more:
        for number, one in enumerate(module.SCENARIOS.values()):
            other = make(one, server, place / module.__name__ / str(number))
            points, tried = other.points(), few(other.points(), module.SAMPLE)
            if module is not test_beside_faults:
                yield other.words, points, len(tried), _slow(other, one.faults, module.ONE_IN)
            elif one.name in module.LONG:
                yield other.words, points, 0, len(tried)
            else:
                yield other.words, points, len(tried), len(share(points, module.ONE_IN))
    for words in (test_index_faults._INDEX, test_index_faults._WORDS, test_index_faults._HOT):
        points = test_index_faults.all_points(words, children, place / words[1], indexed=True)
        yield words, points, len(few(points, test_index_faults.FEW)), 2 * len(share(points, test_index_faults.ONE_IN))
    for words in (test_alert_faults._RESOLVE, test_alert_faults._ACKNOWLEDGE):
        points = test_alert_faults.all_points(words, children, place / words[2])
        yield words, points, len(few(points, test_alert_faults.FEW)), len(share(points, test_alert_faults.ONE_IN))


def _slow(runner: Any, faults: Sequence[Any], one_in: int) -> int:
    return sum(len(share(runner.points([fault]), one_in)) for fault in faults)


def rows() -> dict[str, Row]:
    """The figures of each command."""
    found: dict[str, Row] = {}
    with (
        tempfile.TemporaryDirectory(prefix="aml-points-") as folder,
        Children(_made(Path(folder) / "children")) as children,
        RestlessChildren(_made(Path(folder) / "restless")) as restless,
    ):
        for words, points, by_default, slow in scenarios(children, restless, Path(folder)):
            row = found.setdefault(command_of(words), Row())
            row.scenarios += 1
            row.calls += len({point.at for point in points})
            row.points += len(points)
            row.by_default += by_default
            row.slow += slow
    return dict(sorted(found.items()))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def table(found: dict[str, Row]) -> str:
    """The figures in Markdown. They stand for one machine: threads make a few calls more or less."""
    lines = [
        "| command | scenarios | calls | points (a fault at a call) | tried by `pytest` | tried by `-m slow` |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    total: Counter[str] = Counter()
    for command, row in found.items():
        total.update(vars(row))
        lines.append(f"| `{command}` | {' | '.join(f'{number:,}' for number in vars(row).values())} |")
    lines.append(f"| in all | {' | '.join(f'{total[name]:,}' for name in vars(Row()))} |")
    return "\n".join(lines)


def parsed(text: str) -> dict[str, Row]:
    """The figures of the table in a page."""
    body = text.partition(BEGIN)[2].partition(END)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.strip().splitlines()[2:]]
    return {
        name.strip("`"): Row(*(int(one.replace(",", "")) for one in numbers))
        for name, *numbers in cells
        if name != "in all"
    }


def main() -> int:
    made = table(rows())
    if "--print" in sys.argv:
        print(made)
        return 0
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
