"""``aml demo``: a realistic sample store, and AML at work on it."""

import shlex
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import Annotated

import typer
from msgspec import Struct

from aml.cli.invocation import Invocation
from aml.cli.options import GLOBAL_OPTIONS
from aml.demo.sample import LOST_AGENT, SPOILED_FILE, spoil, write_sample_store
from aml.errors import AmlError, ExitStatus, UsageError
from aml.fs.access import explained
from aml.store.open import DEFAULT_STORE, open_store
from aml.workflows.undo import prune_history

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_DEFAULT_FOLDER = "aml-demo"
_REPORT = "report.html"
_WIDTH = 80
#: What leads out of the new folder, such as to a repository of backups or to hooks, and what leads nowhere.
_OWN_VARIABLES, _HARMLESS = "AML_", ("AML_STORE", "AML_STORE_ALLOW_NETWORK_STORE")


class DemoStep(Struct, frozen=True):
    """A command line of the tour, and its exit status."""

    command: str
    exit: int


class DemoReport(Struct, frozen=True):
    """Paths of the sample store and of the report about it, and the tour over it."""

    store: str
    report: str
    commands: tuple[DemoStep, ...]


@app.command("demo", epilog="\b\nExamples:\n  aml demo\n  aml demo /tmp/try-aml" + GLOBAL_OPTIONS)
def demo_command(
    ctx: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(help=f"A new folder for the sample; default: {_DEFAULT_FOLDER}, or the next free name like it."),
    ] = None,
) -> int:
    """Write a realistic sample store into a new folder and show AML at work on it.

    The sample holds two years of memory of several agents, and some of the rubbish that real stores collect. Nothing
    outside the new folder is touched.
    """
    invocation = Invocation.of(ctx)
    project = _new_project(invocation, folder)
    store = project / DEFAULT_STORE
    with explained("write the sample store to", store):
        write_sample_store(store, now=datetime.fromtimestamp(invocation.now, UTC))
    tour = _Tour(invocation, store)
    tour.say(f"Wrote a sample store: {store}")
    _show_prune(tour, store)
    _show_backup(tour, store)
    report = _show_report(tour, project)
    unset = f", without {', '.join(tour.left_out)} in the environment" if tour.left_out else ""
    tour.say(f"Go on by hand{unset}: each line above works as it stands, and aml --help shows the rest.")
    answer = DemoReport(str(store), str(report), tuple(tour.steps))
    return invocation.answer(answer, ExitStatus.DONE, lambda: None)


class _Tour:
    """Runs commands as a user would type them, and shows both the line and its answer.

    Variables that are meant for other stores are ``left_out``.
    """

    def __init__(self, invocation: Invocation, store: Path) -> None:
        self._invocation = invocation
        self._store = store
        known = invocation.environment
        self.left_out = [name for name in sorted(known) if name.startswith(_OWN_VARIABLES) and name not in _HARMLESS]
        self._environment = {name: value for name, value in known.items() if name not in self.left_out}
        self.steps: list[DemoStep] = []

    def say(self, text: str) -> None:
        """A remark, folded; a path in it stays whole."""
        lines = wrap(text, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
        self._write("".join(["\n", *(f"# {line}\n" for line in lines)]))

    def show(self, *words: str) -> None:
        """Run one command. Leaving damaged files alone is part of the tour (exit status 3); a failure is not."""
        line = ["--store", str(self._store), *words]
        spelt = f"aml {shlex.join(line)}"
        self._write(f"\n$ {spelt}\n\n")
        status = self._invocation.run_other(line, self._environment, show=not self._invocation.json)
        self.steps.append(DemoStep(spelt, status))
        if status not in (ExitStatus.DONE, ExitStatus.PARTIAL):
            raise AmlError(f"the demo stopped: {spelt} ended with exit status {status}")

    def _write(self, text: str) -> None:
        if not self._invocation.json:
            self._invocation.out.write(text)
            self._invocation.out.flush()


def _show_prune(tour: _Tour, store: Path) -> None:
    tour.say("Agents kept their memory there for two years. What would a prune remove, and why?")
    tour.show("prune", "--dry-run")
    tour.say("The same for real. Each record is archived before it goes; what is damaged is left alone.")
    tour.show("prune", "--yes")
    tour.say("Every run is written down ...")
    tour.show("prune", "history")
    tour.say("... and can be undone: each record goes back where it stood, byte for byte.")
    tour.show("prune", "undo", prune_history(open_store(store))[0].id)


def _show_backup(tour: _Tour, store: Path) -> None:
    tour.say("A backup is complete by itself, and writes only what is new.")
    tour.show("backup", "create")
    with explained("damage", store):
        spoil(store)
    tour.say(f"Now a bad day: {SPOILED_FILE} is cut in half, and the folder {LOST_AGENT} is gone. What is missing?")
    tour.show("backup", "diff")
    tour.say("What would a restore change?")
    tour.show("backup", "restore", "latest", "--dry-run")
    tour.say("The same for real. What is there now is backed up first, the damage too.")
    tour.show("backup", "restore", "latest", "--yes")
    tour.say("Are the backups sound? Every byte is read back ...")
    tour.show("backup", "verify")
    tour.say("... and a drill restores one into a scratch folder and compares each file.")
    tour.show("backup", "drill")


def _show_report(tour: _Tour, project: Path) -> Path:
    report = project / _REPORT
    tour.say("All that AML knows of the store, on one page for people.")
    tour.show("monitor", "report", "--html", str(report))
    tour.say(f"Open it in a browser: {report}")
    return report


def _new_project(invocation: Invocation, folder: Path | None) -> Path:
    if folder is not None:
        chosen = invocation.folder / folder
        if chosen.exists() and not (chosen.is_dir() and chosen != invocation.folder and not any(chosen.iterdir())):
            raise UsageError(f"{chosen} exists already", advice="name a new folder for the sample")
        return chosen
    number = 1
    while (chosen := invocation.folder / (_DEFAULT_FOLDER if number == 1 else f"{_DEFAULT_FOLDER}-{number}")).exists():
        number += 1
    return chosen
