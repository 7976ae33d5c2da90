"""``aml monitor alerts``: what checks found, and what people and the webhook are told of it."""

from typing import Annotated

import typer

from aml.cli.alerts_text import write_alert, write_alerts, write_resolved, write_trial
from aml.cli.completion import complete_alert
from aml.cli.invocation import Invocation
from aml.cli.options import GLOBAL_OPTIONS, examples
from aml.errors import ExitStatus
from aml.workflows.alerts import (
    acknowledge_alert,
    alert_history,
    list_alerts,
    resolve_alert,
    show_alert,
    try_webhook,
)

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
    epilog=examples(
        "  aml monitor alerts                       those that last\n"
        "  aml monitor alerts list --all            and those that are over\n"
        '  aml monitor alerts ack ID --note "disk ordered"\n'
        "  aml monitor alerts test                  try the webhook"
    ),
)

_All = Annotated[bool, typer.Option("--all", help="Those that are over as well, as long as they are kept.")]
_Wanted = Annotated[
    str, typer.Argument(metavar="ID", help="Its id, or the beginning of it.", autocompletion=complete_alert)
]


@app.callback()
def alerts_command(ctx: typer.Context, every: _All = False) -> int:
    """What checks found, from when it is first seen until it has passed.

    Each condition, known by the check and what it is about, has one alert. A health check opens it, keeps it up to date
    while the condition lasts, and resolves it when the check runs and finds nothing any more. Without a command, those
    that last are listed.
    """
    return int(ExitStatus.DONE) if ctx.invoked_subcommand is not None else _list(Invocation.of(ctx), every)


@app.command("list", epilog=examples("  aml monitor alerts list\n  aml monitor alerts list --all --json"))
def list_command(ctx: typer.Context, every: _All = False) -> int:
    """List the alerts that last, those that matter most first."""
    return _list(Invocation.of(ctx), every)


@app.command("show", epilog="\b\nExample:\n  aml monitor alerts show ID" + GLOBAL_OPTIONS)
def show_command(ctx: typer.Context, ident: _Wanted) -> int:
    """Print all that is known of one alert."""
    invocation = Invocation.of(ctx)
    alert = show_alert(invocation.open_store(), ident)
    return invocation.answer(alert, ExitStatus.DONE, lambda: write_alert(invocation, alert))


@app.command("ack", epilog=examples('  aml monitor alerts ack ID\n  aml monitor alerts ack ID --note "disk ordered"'))
def ack_command(
    ctx: typer.Context,
    ident: _Wanted,
    note: Annotated[str, typer.Option(metavar="TEXT", help="What to note beside it.", show_default=False)] = "",
) -> int:
    """Note that somebody has seen an alert. It stays open until its condition has passed.

    Where the condition gets worse, the acknowledgement goes: whoever gave it knew less.
    """
    invocation = Invocation.of(ctx)
    alert = acknowledge_alert(invocation.open_store(), ident, note, now=invocation.now, warn=invocation.warn)

    def write() -> None:
        if not invocation.quiet:
            invocation.out.write(f"acknowledged {alert.id}\n")

    return invocation.answer(alert, ExitStatus.DONE, write)


@app.command("resolve", epilog="\b\nExample:\n  aml monitor alerts resolve ID" + GLOBAL_OPTIONS)
def resolve_command(ctx: typer.Context, ident: _Wanted) -> int:
    """Resolve an alert by hand, and tell the webhook, if there is one.

    Alerts resolve by themselves; this is for those whose check does not run any more. A condition that a later check
    finds again opens a new alert: to live with it, acknowledge it.
    """
    invocation = Invocation.of(ctx)
    report = resolve_alert(
        invocation.open_store(),
        ident,
        now=invocation.now,
        settings=invocation.settings,
        secret=invocation.webhook_secret,
        warn=invocation.warn,
    )
    invocation.warn(*report.problems)
    return invocation.answer(report, ExitStatus.DONE, lambda: write_resolved(invocation, report))


@app.command("history", epilog="\b\nExample:\n  aml monitor alerts history" + GLOBAL_OPTIONS)
def history_command(ctx: typer.Context) -> int:
    """List the alerts that are over, the last one first. They are kept for some days (alerts.keep_days)."""
    invocation = Invocation.of(ctx)
    found = alert_history(invocation.open_store())
    return invocation.answer(found, ExitStatus.DONE, lambda: write_alerts(invocation, found, "history"))


@app.command("test", epilog="\b\nExample:\n  aml monitor alerts test" + GLOBAL_OPTIONS)
def test_command(ctx: typer.Context) -> int:
    """Send one trial message to the webhook, and tell what the receiver answers.

    Exit status 1 where it does not accept the message. Nothing is written, and messages that wait stay where they are.
    The address is the setting webhook.url, the secret comes from AML_WEBHOOK_SECRET or the file webhook.secret_file.
    """
    invocation = Invocation.of(ctx)
    trial = try_webhook(
        invocation.open_store(),
        now=invocation.now,
        settings=invocation.settings,
        secret=invocation.webhook_secret,
    )
    invocation.warn(*trial.notes)
    return invocation.answer(trial, trial.status, lambda: write_trial(invocation, trial))


def _list(invocation: Invocation, every: bool) -> int:
    found = list_alerts(invocation.open_store(), resolved=every)
    return invocation.answer(found, ExitStatus.DONE, lambda: write_alerts(invocation, found, "alerts"))
