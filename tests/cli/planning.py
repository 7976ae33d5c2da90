"""Plans of what to prune, written to a file, edited and applied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.running import Answer, aml
from tests.contract.pruning import fresh, stale
from tests.support.records import decision, solution
from tests.support.stores import make_store, read_array, write_array

Plan = dict[str, Any]


def project_in(tmp_path: Path) -> Path:
    """Two agents, plain and gzip, with five records to go among thirteen."""
    project = tmp_path / "project"
    patterns = [fresh("a"), stale("b"), fresh("c"), stale("d"), fresh("e"), fresh("f"), fresh("g")]
    decisions = [decision(id="never", would_repeat=False), decision(id="again", would_repeat=True)]
    memory = make_store(project, {"alpha": {"patterns": patterns, "decisions": decisions}})
    fixes = [solution(id="no", agent="beta", worked=False), *(solution(id=f"y{n}", agent="beta") for n in range(3))]
    write_array(memory / "beta/solutions.json", fixes, form="gzip")
    return project


def memory_of(project: Path) -> Path:
    return project / ".loom/memory"


def planned(project: Path, *words: str) -> Plan:
    """The plan in ``plan.json``, as it was written."""
    answer = aml(project, "prune", "--plan", "plan.json", *words)
    assert answer.status == 0, answer.err
    found = json.loads((project / "plan.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def edited(project: Path, plan: Plan) -> None:
    (project / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def applied(project: Path, *words: str) -> Answer:
    return aml(project, "prune", "--apply", "plan.json", "--no-backup", *words)


def ids_in(path: Path) -> list[str]:
    return [record["id"] for record in read_array(path)]
