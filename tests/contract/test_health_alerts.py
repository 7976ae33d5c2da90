"""What health finds becomes alerts, and the webhook is told: from the command line to a real receiver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.running import aml, small_store
from tests.support.receiver import SECRET, receiving
from tests.support.stores import tree_digest

DAMAGED = "alpha/patterns.json"


def _damaged(tmp_path: Path) -> tuple[Path, Path, bytes]:
    """A project with a damaged file, that file, and what it held."""
    project = small_store(tmp_path)
    file = project / ".loom" / "memory" / DAMAGED
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    return project, file, whole


def _alerts(project: Path, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(aml(project, "monitor", "alerts", *words, "--json").out)["data"]["alerts"]
    return found


def test_h31_three_runs_of_health_make_one_alert_which_resolves_by_itself(tmp_path: Path) -> None:
    project, file, whole = _damaged(tmp_path)
    for turn in range(3):
        answer = json.loads(aml(project, "monitor", "health", "--checks", "integrity", "--json").out)
        assert answer["exit"] == 5
        assert answer["data"]["alerts"] == {
            "opened": int(turn == 0),
            "escalated": 0,
            "resolved": 0,
            "open": 1,
            "waiting": 0,
        }
    (alert,) = _alerts(project)
    assert (alert["check"], alert["subject"], alert["level"], alert["count"]) == (
        "integrity",
        "alpha/patterns",
        "critical",
        3,
    )
    file.write_bytes(whole)
    # a check that looks at other things has not seen that it is over
    aml(project, "monitor", "health", "--checks", "caps")
    assert [one["id"] for one in _alerts(project)] == [alert["id"]]
    answer = json.loads(aml(project, "monitor", "health", "--checks", "integrity", "--json").out)
    assert (answer["exit"], answer["data"]["alerts"]["resolved"], answer["data"]["alerts"]["open"]) == (0, 1, 0)
    assert _alerts(project) == []


def test_the_webhook_is_told_when_it_begins_and_when_it_is_over(tmp_path: Path) -> None:
    project, file, whole = _damaged(tmp_path)
    with receiving(200) as receiver:
        (project / ".loom" / "aml.toml").write_text(f'[webhook]\nurl = "{receiver.url}"\nretries = 0\n')
        secret = {"AML_WEBHOOK_SECRET": SECRET}
        check = ("monitor", "health", "--checks", "integrity")
        told = aml(project, *check, environment=secret)
        assert SECRET not in told.out + told.err
        aml(project, *check, environment=secret)
        file.write_bytes(whole)
        aml(project, *check, environment=secret)
        assert all(one.is_genuine() for one in receiver.got)
        assert receiver.told == [("opened", "integrity/alpha/patterns"), ("resolved", "integrity/alpha/patterns")]


def test_a_dead_webhook_fails_no_check_and_loses_no_alert(tmp_path: Path) -> None:
    project, _, _ = _damaged(tmp_path)
    (project / ".loom" / "aml.toml").write_text('[webhook]\nurl = "http://127.0.0.1:9/"\nretries = 0\n')
    ended = aml(
        project, "monitor", "health", "--checks", "integrity", "--json", environment={"AML_WEBHOOK_SECRET": SECRET}
    )
    answer = json.loads(ended.out)
    assert (answer["exit"], answer["data"]["alerts"]["open"], answer["data"]["alerts"]["waiting"]) == (5, 1, 1)
    assert answer["warnings"]


def test_without_a_record_there_is_no_alert_and_nothing_is_written(tmp_path: Path) -> None:
    project, _, _ = _damaged(tmp_path)
    before = tree_digest(project)
    answer = json.loads(aml(project, "monitor", "health", "--no-record", "--json").out)
    assert (answer["exit"], answer["data"]["alerts"]) == (5, None)
    assert tree_digest(project) == before
