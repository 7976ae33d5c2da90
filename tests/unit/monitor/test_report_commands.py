"""Commands in sentences of advice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.monitor.report.commands import parted


@pytest.mark.parametrize(
    ("advice", "commands"),
    [
        ("aml backup create; for cron: aml backup auto", ["aml backup create", "aml backup auto"]),
        (
            "aml optimize gc --salvage --dry-run shows what can still be read; aml backup restore --path a/b.json does",
            ["aml optimize gc --salvage --dry-run", "aml backup restore --path a/b.json"],
        ),
        ("aml backup verify --all, and then aml backup create.", ["aml backup verify --all", "aml backup create"]),
        (
            "aml backup show 20261121T143720.061405Z-cdee978b names",
            ["aml backup show 20261121T143720.061405Z-cdee978b"],
        ),
        ("aml prune --max-loss 100% --yes", ["aml prune --max-loss 100% --yes"]),
        ("aml --store '/srv/my shop' prune undo RUN puts them back", ["aml --store '/srv/my shop' prune undo RUN"]),
        ("chmod 700 '/srv/my shop', and use another secret", ["chmod 700 '/srv/my shop'"]),
        ("which belongs to another user: chown aml /srv/shop, or run AML", ["chown aml /srv/shop"]),
        ("if none runs: rmdir /srv/shop/a.lock", ["rmdir /srv/shop/a.lock"]),
        ("the setting backup.repository, or --repository PATH", ["--repository PATH"]),
        ("let one run go on with --trust-clock", ["--trust-clock"]),
        ("prune while agents are idle", []),
        ("ask whoever runs aml", []),
    ],
)
def test_commands_are_found_as_far_as_they_go(advice: str, commands: list[str]) -> None:
    assert [words for words, is_command in parted(advice) if is_command] == commands


_PIECES = st.sampled_from(["aml", "prune", "backup", "--path", "a/b.json", "--yes", ";", ",", ".", " ", "RUN", "'a b'"])


@given(st.text() | st.lists(_PIECES).map(" ".join))
def test_nothing_of_a_sentence_is_lost(advice: str) -> None:
    assert "".join(words for words, _ in parted(advice)) == advice


@pytest.mark.parametrize(
    "words", ["aml" + " --all" * 5_000 + " !", "chmod 700 " + ",." * 20_000 + "'", "aml --x " * 5_000]
)
def test_a_name_that_looks_like_a_command_without_end_is_read_in_no_time(words: str) -> None:
    """A folder of an agent may be called so, and advice names it; it takes milliseconds, and once took for ever."""
    assert "".join(part for part, _ in parted(words)) == words
