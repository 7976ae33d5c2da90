"""What ``aml monitor alerts`` prints for people."""

from __future__ import annotations

from collections.abc import Iterator

from aml.cli.invocation import Invocation
from aml.cli.lines import advised, amount, folded
from aml.cli.text import count, printable
from aml.model.moments import format_age
from aml.model.timestamps import parse_timestamp
from aml.monitor.alerts import Alert
from aml.workflows.alerts import AlertList, ResolveReport, WebhookTrial

_INDENT = "  "
#: Columns for the names of what is known of one alert.
_NAMES = 14


def write_alerts(invocation: Invocation, found: AlertList, what: str) -> None:
    """A paragraph for each alert, and how many there are."""
    for alert in found.alerts:
        for line in _paragraph(invocation, alert):
            invocation.out.write(line + "\n")
        invocation.out.write("\n")
    if invocation.quiet:
        return
    lasting = [one for one in found.alerts if one.is_open]
    parts = []
    if what == "alerts":
        seen = sum(one.acknowledged is not None for one in lasting)
        parts.append(f"{len(lasting):,} open" + (f", {seen:,} of them acknowledged" if seen else ""))
    if what == "history" or len(lasting) < len(found.alerts):
        parts.append(f"{len(found.alerts) - len(lasting):,} over")
    if found.waiting:
        parts.append(f"{count(found.waiting, 'message')} for the webhook {'waits' if found.waiting == 1 else 'wait'}")
    invocation.out.write(f"{what}: {'; '.join(parts)}\n")


def write_alert(invocation: Invocation, alert: Alert) -> None:
    """All that is known of one."""
    facts = [
        ("alert", alert.id),
        ("level", alert.level if alert.level == alert.highest else f"{alert.level}, was {alert.highest}"),
        ("check", alert.check),
        ("subject", alert.subject or "the store"),
        ("message", alert.message),
        ("measured", None if alert.value is None else amount(alert.value, alert.unit)),
        ("threshold", None if alert.threshold is None else amount(alert.threshold, alert.unit)),
        ("mend", alert.advice or None),
        ("opened", _moment(alert.opened, invocation.now)),
        ("last seen", _moment(alert.updated, invocation.now)),
        ("seen", _times(alert)),
        ("acknowledged", _acknowledged(alert, invocation.now) or "no"),
        ("resolved", _resolved(alert, invocation.now) or "no"),
    ]
    for name, text in facts:
        head = f"{name:<{_NAMES}}"
        if text is not None:
            lines = advised(invocation, head, text) if name == "mend" else folded(invocation, head, text)
            invocation.out.write("".join(f"{line}\n" for line in lines))


def write_resolved(invocation: Invocation, report: ResolveReport) -> None:
    if invocation.quiet:
        return
    if not report.changed:
        when = "" if report.alert.resolved is None else f" since {report.alert.resolved.when}"
        invocation.out.write(f"{report.alert.id} was over already{when}\n")
        return
    told = f"; {count(report.sent, 'message')} sent" if report.sent else ""
    invocation.out.write(f"resolved {report.alert.id}{told}\n")


def write_trial(invocation: Invocation, trial: WebhookTrial) -> None:
    if trial.problem:
        invocation.note(f"the webhook {trial.address} did not take the trial: {trial.problem}", *_next(trial))
    elif not invocation.quiet:
        invocation.out.write(f"test: {trial.address} answered {trial.answered} after {trial.seconds:.2f} s\n")


def _next(trial: WebhookTrial) -> list[str]:
    if trial.answered in (401, 403):
        return ["the receiver and AML must know the same secret"]
    return []


def _paragraph(invocation: Invocation, alert: Alert) -> Iterator[str]:
    about = f"{alert.level}  {alert.check}" + (f"  {alert.subject}" if alert.subject else "")
    yield printable(about)
    yield from folded(invocation, _INDENT, alert.message)
    yield from folded(invocation, _INDENT, f"{alert.id}, {_lasting(alert, invocation.now)}, seen {_times(alert)}")
    if seen := _acknowledged(alert, invocation.now):
        yield from folded(invocation, _INDENT, f"acknowledged {seen}")
    if alert.resolved is not None:
        yield from folded(invocation, _INDENT, f"over {_resolved(alert, invocation.now)}")
    elif alert.advice:
        yield from advised(invocation, f"{_INDENT}mend: ", alert.advice)


def _times(alert: Alert) -> str:
    return "once" if alert.count == 1 else f"{alert.count:,} times"


def _lasting(alert: Alert, now: float) -> str:
    """How long it has been open, or was."""
    began = parse_timestamp(alert.opened)
    end = now if alert.resolved is None else parse_timestamp(alert.resolved.when)
    return f"since {alert.opened}" if began is None or end is None else f"for {format_age(max(0.0, end - began))}"


def _moment(time: str, now: float) -> str:
    moment = parse_timestamp(time)
    return time if moment is None else f"{time}, {format_age(max(0.0, now - moment))} ago"


def _acknowledged(alert: Alert, now: float) -> str:
    if alert.acknowledged is None:
        return ""
    note = f": {alert.acknowledged.note}" if alert.acknowledged.note else ""
    return _moment(alert.acknowledged.when, now) + note


def _resolved(alert: Alert, now: float) -> str:
    if alert.resolved is None:
        return ""
    how = "by itself" if alert.resolved.how == "itself" else "by hand"
    return f"{_moment(alert.resolved.when, now)}, {how}"
