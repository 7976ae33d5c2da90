"""Options that several commands share, spelt once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aml.cli.completion import complete_agent, complete_backup, complete_kind
from aml.cli.invocation import Invocation
from aml.config import Settings, parse_share
from aml.errors import UsageError
from aml.model.kinds import KINDS

if TYPE_CHECKING:
    from aml.prune.options import PruneOptions

#: Below the examples of each command's help.
GLOBAL_OPTIONS = "\n\nGlobal options such as --store, --json, -q and -v may stand here as well; aml --help lists them."

Agents = Annotated[
    list[str] | None,
    typer.Option(
        "--agent",
        metavar="NAME",
        help="Only this agent; may be repeated.",
        show_default=False,
        autocompletion=complete_agent,
    ),
]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help=f"Only this kind ({', '.join(kind.name for kind in KINDS)}); may be repeated.",
        show_default=False,
        autocompletion=complete_kind,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")]
Strategy = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="time, performance or space; may be repeated. Default: time and performance.",
        show_default=False,
    ),
]
Aggressive = Annotated[bool, typer.Option("--aggressive", help="Judge by the stricter thresholds.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")]
NeverAsks = Annotated[bool, typer.Option("--yes", "-y", help="For scripts that say it always: this never asks.")]
LockTimeout = Annotated[
    float | None,
    typer.Option("--lock-timeout", metavar="SECONDS", min=0, help="How long to wait for a lock."),
]
Policy = Annotated[
    Literal["value-density", "value", "confidence"] | None,
    typer.Option(help="Which patterns go first for space; default: as in the settings.", show_default=False),
]
MaxLoss = Annotated[
    str | None,
    typer.Option(
        "--max-loss",
        metavar="SHARE",
        help="Most of an agent's records that may go, such as 30%; 100% lifts every limit.",
    ),
]
TrustClock = Annotated[
    bool, typer.Option("--trust-clock", help="Go on although the clock contradicts AML's earlier runs and backups.")
]
WantedBackup = Annotated[
    str,
    typer.Argument(metavar="BACKUP", help="Its id, the beginning of it, or latest.", autocompletion=complete_backup),
]


def share_of(max_loss: str | None) -> float | None:
    """What --max-loss says, from 0 to 1. Raises UsageError."""
    if max_loss is None:
        return None
    if max_loss.strip() == "1":
        raise UsageError("--max-loss 1 could mean 1% or all", advice="say 1% or 100%")
    return parsed_share("--max-loss", max_loss, "say a percentage from 0% to 100% such as 30%, or 0.3")


def parsed_share(option: str, text: str, advice: str) -> float:
    """What an option says, from 0 to 1. Raises UsageError with that advice."""
    try:
        return parse_share(text)
    except ValueError:
        raise UsageError(f"{option} {text} is not a share", advice=advice) from None


def take_format(invocation: Invocation, format: str | None) -> None:
    """Have ``--format json`` mean ``--json``. Raises UsageError where the two contradict each other."""
    if invocation.json and format not in (None, "json"):
        raise UsageError(f"--json and --format {format} contradict each other", advice="say one of them")
    invocation.json = invocation.json or format == "json"


def asked_of_prune(
    settings: Settings,
    *,
    strategy: list[str] | None,
    agent: list[str] | None,
    aggressive: bool,
    policy: str | None,
    max_loss: float | None,
) -> PruneOptions:
    """What the options of a prune come to beside the settings. Raises UsageError, also where a policy is named that
    nothing would ask for."""
    # most commands know nothing of pruning
    from aml.prune.options import SPACE
    from aml.workflows.prune import prune_options

    options = prune_options(
        settings.prune,
        strategies=strategies_of(strategy),
        agents=tuple(agent or ()),
        aggressive=aggressive,
        max_loss=max_loss,
        space=settings.space,
        policy=policy,
        compress_plain=settings.compress.plain,
    )
    if policy is not None and SPACE not in options.strategies:
        raise UsageError("--policy is for the strategy space alone", advice="say --strategy space too, or leave it out")
    return options


def strategies_of(named: list[str] | None) -> tuple[str, ...]:
    """The names as they are now; older scripts say ``time_based`` and ``performance_based``."""
    return tuple(name.removesuffix("_based") for name in named or ())


def examples(lines: str) -> str:
    """The end of a command's help: examples as they are typed, and where the other options are."""
    return f"\b\nExamples:\n{lines}{GLOBAL_OPTIONS}"
