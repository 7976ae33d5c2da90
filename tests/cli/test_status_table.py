"""The table in docs/cli.md of which status each command can give: every cell is reached by a real call."""

from __future__ import annotations

import importlib.util
import json
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import pytest

from aml.errors import ExitStatus
from tests.cli.running import PROJECT, aml, kept, old
from tests.cli.spoiling import (
    KEEP,
    MEMORY,
    Situation,
    agents_at_work,
    all_damaged,
    all_well,
    another_run,
    another_writer,
    clock_in_the_past,
    incomplete_backup,
    link_in_the_store,
    newer_alerts,
    newer_records,
    newer_repository,
    no_agent_left,
    no_room_for_backups,
    no_room_for_state,
    no_store,
    nobody_listens,
    odd_alerts,
    odd_version,
    one_agent_at_work,
    one_damaged,
    record_created_anew,
    settings_exist,
    spoilt_alerts,
    spoilt_archive,
    spoilt_journal,
    spoilt_manifests,
    spoilt_pack_to_be_repacked,
    spoilt_packs,
    spoilt_repository,
)
from tests.contract.backing_up import give_to_nobody, unprivileged
from tests.support.records import NOW
from tests.support.stores import make_store


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_cli", PROJECT / "docs" / "generate_cli.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = generator()


@dataclass(frozen=True)
class Base:
    """A store that has been looked after, and the ids in it."""

    project: Path
    ids: dict[str, str]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    project = tmp_path_factory.mktemp("statuses")
    alpha = [kept("k1"), old("o1"), *(kept(f"k{number}") for number in range(2, 7))]
    beta = [kept("b1"), old("b2"), kept("b3"), kept("b4")]
    make_store(project, {"alpha": {"patterns": alpha}, "beta": {"patterns": beta}})
    for words in ("backup create", "prune --agent alpha", "prune --plan plan.json"):
        assert aml(project, *words.split()).status == 0
    (project / MEMORY / "beta/decisions.json").write_bytes(b"[")
    assert aml(project, "monitor", "health", "--checks", "integrity").status == 5
    (project / MEMORY / "beta/decisions.json").unlink()
    runs = json.loads(aml(project, "prune", "history", "--json").out)["data"]["runs"]
    alerts = json.loads(aml(project, "monitor", "alerts", "--json").out)["data"]["alerts"]
    return Base(project, {"RUN": runs[0]["id"], "ALERT": alerts[0]["id"]})


# ---- cases: command -> status -> the situation in which it gives that; other words than the usual ones come first

Case = Situation | tuple[str, Situation]

#: The usual words after a command; none where it is not named.
WORDS = {
    "prune explain": "k1",
    "prune undo": "RUN",
    "backup show": "latest",
    "backup restore": "latest --yes",
    "show": "k1",
    "optimize compress": "--age-days 0",
    "migrate down": "--to 1.0.0",
    "migrate migrate": "--version 1.2.0",
    "monitor alerts show": "ALERT",
    "monitor alerts ack": "ALERT",
    "monitor alerts resolve": "ALERT",
    "monitor watch": "--count 1",
}

CASES: dict[str, dict[int, Case]] = {
    "prune": {
        1: clock_in_the_past,
        3: one_damaged,
        11: another_run,
        12: all_damaged,
        13: newer_records,
    },
    "prune history": {12: spoilt_journal},
    "prune undo": {1: ("nowhere", all_well), 3: record_created_anew, 11: another_run, 12: spoilt_archive},
    "prune explain": {1: ("nothing", all_well), 12: spoilt_journal},
    "backup create": {1: no_room_for_backups, 11: another_run, 12: spoilt_repository, 13: newer_repository},
    "backup list": {1: no_room_for_backups, 11: another_writer, 12: spoilt_manifests, 13: newer_repository},
    "backup show": {1: ("nothing", all_well), 11: another_writer, 12: spoilt_packs, 13: newer_repository},
    "backup diff": {
        1: ("nothing", all_well),
        3: ("ANY", incomplete_backup),
        11: another_writer,
        12: spoilt_packs,
        13: newer_repository,
    },
    "backup verify": {1: no_room_for_backups, 11: another_writer, 12: spoilt_packs, 13: newer_repository},
    "backup restore": {
        1: ("nothing", all_well),
        3: link_in_the_store,
        11: another_run,
        12: spoilt_packs,
        13: newer_repository,
    },
    "backup rotate": {
        1: clock_in_the_past,
        3: ("--keep-last 1", spoilt_pack_to_be_repacked),
        11: another_run,
        12: spoilt_manifests,
        13: newer_repository,
    },
    "backup drill": {
        1: ("nothing", all_well),
        3: ("ANY", incomplete_backup),
        11: another_writer,
        12: spoilt_packs,
        13: newer_repository,
    },
    "backup auto": {
        1: clock_in_the_past,
        3: no_agent_left,
        11: another_run,
        12: spoilt_manifests,
        13: newer_repository,
    },
    "query": {3: one_damaged, 12: all_damaged, 13: newer_records},
    "show": {1: ("nothing", all_well), 12: all_damaged},
    "optimize gc": {1: clock_in_the_past, 3: one_damaged, 11: another_run, 12: all_damaged, 13: newer_records},
    "optimize compress": {1: no_room_for_state, 3: one_agent_at_work, 11: agents_at_work, 12: all_damaged},
    "optimize index": {1: no_room_for_state, 3: one_damaged, 13: newer_records},
    "optimize warm-cache": {1: no_room_for_state, 3: one_damaged, 13: newer_records},
    "optimize all": {1: no_room_for_state, 3: one_damaged, 13: newer_records},
    "migrate detect": {3: one_damaged, 12: all_damaged, 13: newer_records},
    "migrate plan": {1: odd_version, 12: one_damaged, 13: newer_records},
    "migrate up": {
        1: no_room_for_backups,
        3: ("--skip-bad", one_damaged),
        11: agents_at_work,
        12: one_damaged,
        13: newer_records,
    },
    "migrate down": {1: no_room_for_state, 3: ("--to 1.0.0 --skip-bad", one_damaged), 11: another_run, 12: one_damaged},
    "migrate migrate": {
        1: no_room_for_backups,
        11: agents_at_work,
        12: one_damaged,
        13: newer_records,
    },
    "migrate history": {12: spoilt_journal},
    "monitor health": {4: ("--fail-on warning", all_well), 5: one_damaged},
    "monitor metrics": {1: ("--output nowhere/figures", all_well), 3: one_damaged},
    "monitor alerts": {1: odd_alerts, 12: spoilt_alerts, 13: newer_alerts},
    "monitor alerts list": {1: odd_alerts, 12: spoilt_alerts, 13: newer_alerts},
    "monitor alerts show": {1: ("nothing", all_well), 12: spoilt_alerts, 13: newer_alerts},
    "monitor alerts ack": {1: ("nothing", all_well), 13: newer_alerts},
    "monitor alerts resolve": {1: ("nothing", all_well), 13: newer_alerts},
    "monitor alerts history": {1: odd_alerts, 12: spoilt_alerts, 13: newer_alerts},
    "monitor alerts test": {1: nobody_listens},
    "monitor report": {1: ("--html nowhere/report.html", all_well)},
    "monitor watch": {},
    "config show": {},
    "config path": {},
    "config init": {1: settings_exist},
    "demo": {},
}

#: What other tests reach: a receiver that answers, the demo (which takes seconds), a file that may not be read.
ELSEWHERE = {("monitor alerts test", 0), ("demo", 0), ("backup create", 3)}
NEED_NO_STORE = {"config show", "demo"}


def case_of(command: str, status: int) -> Case:
    if status == ExitStatus.NO_STORE:
        return no_store
    return CASES[command].get(status, all_well)


CELLS = [
    (command, status)
    for command, statuses in GENERATOR.STATUSES.items()
    for status in statuses
    if (command, status) not in ELSEWHERE
]


@pytest.mark.parametrize(("command", "status"), CELLS, ids=str)
def test_each_status_is_reached(base: Base, command: str, status: int, tmp_path: Path) -> None:
    project = Path(shutil.copytree(base.project, tmp_path / "project"))
    case = case_of(command, status)
    words, situation = case if isinstance(case, tuple) else (WORDS.get(command, ""), case)
    with ExitStack() as stack:
        environment = {"AML_LOCKS_TIMEOUT_SECONDS": "0.1", "AML_BACKUP_RETRIES": "0"} | situation(project, stack)
        now = float(environment.pop("now", NOW.timestamp()))
        for name, value in base.ids.items():
            words = words.replace(name, value)
        if "ANY" in words:
            words = words.replace("ANY", next((project / KEEP / "snapshots").iterdir()).name.partition(".json")[0])
        answer = aml(project, *command.split(), *words.split(), environment=environment, now=now)
    assert answer.status == status, f"{answer.out}\n{answer.err}"
    if status == ExitStatus.NO_STORE:
        assert "--store" in answer.err
    elif status not in (ExitStatus.DONE, ExitStatus.HEALTH_WARNING, ExitStatus.HEALTH_CRITICAL):
        assert answer.err.startswith("aml: "), "what is the matter is said"


def test_a_backup_that_lacks_a_file_is_partial(base: Base) -> None:
    # a folder that any user can get to, which those of pytest are not
    with TemporaryDirectory(prefix="aml-test-") as commons:
        Path(commons).chmod(0o755)
        project = Path(shutil.copytree(base.project, Path(commons, "project")))
        (project / MEMORY / "beta/notes.md").write_bytes(b"x")
        give_to_nobody(project)
        (project / MEMORY / "beta/notes.md").chmod(0)
        answer = unprivileged(project, "backup", "create")
    assert answer.status == 3
    assert "notes.md" in answer.err


def test_the_table_has_every_command_and_no_cell_that_is_not_tried() -> None:
    commands = {path.removeprefix("aml ") for path, command in GENERATOR.commands() if GENERATOR.can_run(command)}
    assert set(GENERATOR.STATUSES) == set(CASES) == commands
    for command, statuses in GENERATOR.STATUSES.items():
        tried = {0, *CASES[command], *({10} - ({10} if command in NEED_NO_STORE else set()))}
        assert set(statuses) - {status for name, status in ELSEWHERE if name == command} <= tried, command
        assert set(CASES[command]) <= set(statuses), command


@pytest.mark.parametrize("command", GENERATOR.STATUSES)
def test_wrong_words_are_2_for_every_command(tmp_path: Path, command: str) -> None:
    answer = aml(tmp_path, *command.split(), "--no-such-option")
    assert answer.status == ExitStatus.USAGE
    assert f"aml {command} --help" in answer.err
