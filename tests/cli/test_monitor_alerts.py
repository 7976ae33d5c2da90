"""``aml monitor alerts``: what is printed, in text and in JSON, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.monitor.findings import Finding, Level
from aml.store.open import open_store
from aml.workflows.alerts import take_up
from tests.cli.running import Answer, aml, small_store
from tests.support.records import NOW

T = NOW.timestamp()
DAY = 86_400.0
FOUND = (
    Finding("caps", "alpha/patterns", Level.WARNING, "470 of 500 patterns", "aml prune", 470, 500, "records"),
    Finding("backup", "", Level.CRITICAL, "the newest backup is 8 days old " + "and so on " * 20, "", 8.5, 7.0, "days"),
    Finding(
        "limits", "alpha", Level.ERROR, "an \x1b[31mold\x1b[0m agent\nof 70 MiB", "aml prune", 73_400_320, None, "bytes"
    ),
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = small_store(tmp_path)
    store = open_store(project / ".loom" / "memory")
    take_up(store, FOUND, ["caps", "backup", "limits"], now=T - 2 * DAY)
    take_up(store, FOUND, ["caps", "backup", "limits"], now=T - DAY)
    return project


def alerts(project: Path, *words: str) -> Answer:
    return aml(project, "monitor", "alerts", *words)


def ids(project: Path) -> dict[str, str]:
    return {one["check"]: one["id"] for one in alerts(project, "--json").envelope["data"]["alerts"]}


def test_what_matters_most_stands_first_in_lines_that_fit(project: Path) -> None:
    told = alerts(project)
    assert told.status == 0
    assert [line.split()[0] for line in told.out.splitlines() if line[:1] not in ("", " ")] == [
        "critical",
        "error",
        "warning",
        "alerts:",
    ]
    assert max(len(line) for line in told.out.splitlines()) <= 80
    assert "for 2 d, seen 2 times" in told.out
    assert told.out.endswith("alerts: 3 open\n")
    assert "\x1b" not in told.out
    assert told == alerts(project, "list")


def test_with_q_only_the_alerts_are_printed_and_nothing_where_there_are_none(project: Path, tmp_path: Path) -> None:
    assert "3 open" not in alerts(project, "-q").out
    for ident in ids(project).values():
        assert alerts(project, "resolve", ident, "-q").out == ""
    assert alerts(project, "-q").out == ""
    assert alerts(project).out == "alerts: 0 open\n"


def test_one_alert_is_shown_whole_and_harmless(project: Path) -> None:
    told = alerts(project, "show", ids(project)["limits"])
    assert told.status == 0
    assert "an \\x1b[31mold\\x1b[0m agent\\nof 70 MiB" in told.out
    assert "70.0 MiB" in told.out
    assert "\x1b" not in told.out


def test_an_acknowledgement_is_seen_and_keeps_the_alert_open(project: Path) -> None:
    ident = ids(project)["backup"]
    done = alerts(project, "ack", ident, "--note", "disk \x1b]0;x\x07 ordered")
    assert (done.status, done.out) == (0, f"acknowledged {ident}\n")
    told = alerts(project)
    assert "disk \\x1b]0;x\\x07 ordered" in told.out
    assert "alerts: 3 open, 1 of them acknowledged" in told.out
    document = alerts(project, "ack", ident, "--note", "done", "--json").envelope["data"]
    assert document["acknowledged"] == {"when": "2026-11-20T12:00:00.000Z", "note": "done"}


def test_what_is_resolved_by_hand_moves_to_the_history(project: Path) -> None:
    ident = ids(project)["caps"]
    document = alerts(project, "resolve", ident, "--json").envelope["data"]
    assert (document["changed"], document["alert"]["resolved"]["how"]) == (True, "hand")
    assert alerts(project, "resolve", ident).out == f"{ident} was over already since 2026-11-20T12:00:00.000Z\n"
    assert alerts(project, "history").out.endswith("history: 1 over\n")
    assert "for 2 d, seen 2 times" in alerts(project, "history").out
    assert alerts(project, "--all").out.endswith("alerts: 2 open; 1 over\n")
    refused = alerts(project, "ack", ident)
    assert (refused.status, "is over since" in refused.err) == (2, True)


@pytest.mark.parametrize("command", ["show", "ack", "resolve"])
def test_an_id_that_does_not_exist_or_fits_several_names_the_nearest(command: str, project: Path) -> None:
    known = ids(project)
    missing = alerts(project, command, f"{known['caps'][:-4]}zzzz")
    assert (missing.status, known["caps"] in missing.err) == (1, True)
    several = alerts(project, command, known["caps"][:8])
    assert (several.status, "fits 3 alerts" in several.err) == (1, True)


def test_a_damaged_file_is_told_and_the_next_change_keeps_it_aside(project: Path) -> None:
    path = project / ".loom" / "memory.aml" / "alerts.json"
    path.write_bytes(path.read_bytes()[:-5])
    told = alerts(project)
    assert (told.status, "is damaged" in told.err) == (12, True)
    changes = take_up(open_store(project / ".loom" / "memory"), FOUND[:1], ["caps"], now=T)
    assert len(changes.opened) == 1
    assert (project / ".loom" / "memory.aml" / "alerts.json.damaged-20261120T120000").exists()
    path.write_bytes(b'{"format": 9}')
    assert alerts(project).status == 13


def test_a_trial_without_a_webhook_or_a_secret_says_what_to_set(project: Path) -> None:
    told = alerts(project, "test")
    assert (told.status, "webhook.url" in told.err) == (2, True)
    told = aml(project, "monitor", "alerts", "test", environment={"AML_WEBHOOK_URL": "https://host/x"})
    assert (told.status, "AML_WEBHOOK_SECRET" in told.err) == (2, True)


def test_a_bad_address_in_the_settings_is_told_without_quoting_it(project: Path) -> None:
    file = project / ".loom" / "aml.toml"
    file.write_text('[webhook]\nurl = "https://user:password@host/x"\n', encoding="utf-8")
    told = alerts(project)
    assert told.status == 2
    assert f"{file}: webhook.url is not allowed: it holds a user name or a password" in told.err
    assert "user:password" not in told.err


@given(data=st.data())
def test_alerts_of_any_bytes_make_no_traceback(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    project = small_store(tmp_path_factory.mktemp("any"))
    store = open_store(project / ".loom" / "memory")
    take_up(store, FOUND, ["caps"], now=T)
    path = store.state / "alerts.json"
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 30)))
    changed = whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:]
    path.write_bytes(changed)
    for words in (["list", "--all"], ["history"], ["show", "2"], ["ack", "2"], ["list", "--json"]):
        told = alerts(project, *words)
        assert told.status in (0, 1, 2, 12, 13)
    take_up(store, FOUND, ["caps"], now=T) if told.status != 13 else None
    kept = [one.read_bytes() for one in store.state.glob("alerts.json*")]
    assert changed in kept or told.status == 0
