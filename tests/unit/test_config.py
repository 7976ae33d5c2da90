"""Settings: defaults < file < environment, each with its origin, and errors that name file and key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from aml.config import Settings, as_toml, keys, load_settings, parse_share, sections, variable_name
from aml.errors import FileAccessError, SettingsError


def _file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "aml.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_file_everything_is_default(tmp_path: Path) -> None:
    for file in (None, tmp_path / "missing.toml"):
        effective = load_settings(file, {})
        assert effective.settings == Settings()
        assert {one.origin for one in effective.listed()} == {"default"}


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"missing\.toml"):
        load_settings(tmp_path / "missing.toml", {}, required=True)


def test_defaults_then_file_then_environment(tmp_path: Path) -> None:
    file = _file(tmp_path, '[prune]\nunused_days = 45\ndecision_days = 200\npinned_tags = ["gold"]\n')
    effective = load_settings(file, {"AML_PRUNE_DECISION_DAYS": "300", "AML_LOCKS_TIMEOUT_SECONDS": "5"})
    prune = effective.settings.prune
    assert (prune.unused_days, prune.decision_days, prune.solution_days) == (45, 300, 365)
    assert prune.pinned_tags == ("gold",)
    assert effective.settings.locks.timeout_seconds == 5
    origins = {one.name: one.origin for one in effective.listed()}
    assert origins["prune.unused_days"] == str(file)
    assert origins["prune.decision_days"] == "AML_PRUNE_DECISION_DAYS"
    assert origins["locks.timeout_seconds"] == "AML_LOCKS_TIMEOUT_SECONDS"
    assert origins["prune.solution_days"] == "default"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[prun]\n", ["unknown section [prun]", "did you mean prune?"]),
        ("[zzz]\n", ["unknown section [zzz]", "known: ", "prune"]),
        ("[prune]\nunused_day = 1\n", ["unknown key unused_day in [prune]", "did you mean unused_days?"]),
        ("[prune]\nqqq = 1\n", ["unknown key qqq in [prune]", "known: ", "max_loss"]),
        ("prune = 5\n", ["prune must be a section [prune]"]),
        ("top = 5\n", ["unknown section [top]"]),
        ("[prune]\nmax_loss = 1.5\n", ["prune.max_loss = 1.5 is not allowed", "from 0 to 1"]),
        ("[prune]\nmax_loss = -0.1\n", ["prune.max_loss = -0.1", "from 0 to 1"]),
        ('[prune]\nmax_loss = "130%"\n', ['prune.max_loss = "130%"']),
        ('[prune]\nmax_loss = "lots"\n', ['prune.max_loss = "lots"', "a number"]),
        ('[prune]\nunused_days = "90"\n', ['prune.unused_days = "90"']),
        ("[prune]\nunused_days = true\n", ["prune.unused_days = true"]),
        ("[prune]\nunused_days = nan\n", ["prune.unused_days = nan"]),
        ("[prune]\nmin_executions = inf\n", ["prune.min_executions = inf"]),
        ("[prune]\nunused_days = 2020-01-01\n", ["prune.unused_days"]),
        ("[prune]\nsmall_agent_allowance = 1.5\n", ["prune.small_agent_allowance = 1.5"]),
        ('[prune]\npinned_tags = "keep"\n', ['prune.pinned_tags = "keep"', "a list"]),
        ("[prune]\npinned_tags = [1]\n", ["prune.pinned_tags = [1]"]),
        ('[prune]\nstrategies = ["tame"]\n', ["tame", "time", "performance"]),
        ("[store]\nallow_network_store = 1\n", ["store.allow_network_store = 1"]),
        ("[store]\nmax_unpacked_mb = 0\n", ["store.max_unpacked_mb = 0"]),
        ("[prune\n", ["not valid TOML"]),
    ],
)
def test_a_bad_file_is_an_error_that_names_file_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    file = _file(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(file, {})
    for word in [str(file), *words]:
        assert word in str(caught.value)


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "aml.toml"
    file.write_bytes(b'[prune]\npinned_ids = ["\xff"]\n')
    with pytest.raises(SettingsError, match=re.escape(str(file))):
        load_settings(file, {})


def test_unknown_variables_are_ignored() -> None:
    effective = load_settings(None, {"AML_PRUNE_UNUSED_DAY": "1", "AML_COLOUR": "blue", "PRUNE_UNUSED_DAYS": "1"})
    assert effective.settings == Settings()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("AML_PRUNE_MAX_LOSS", "lots"),
        ("AML_PRUNE_MAX_LOSS", "200%"),
        ("AML_PRUNE_MAX_LOSS", "nan"),
        ("AML_PRUNE_UNUSED_DAYS", "-1"),
        ("AML_PRUNE_UNUSED_DAYS", ""),
        ("AML_PRUNE_UNUSED_DAYS", "inf"),
        ("AML_STORE_ALLOW_NETWORK_STORE", "maybe"),
        ("AML_PRUNE_SMALL_AGENT_ALLOWANCE", "2.5"),
        ("AML_PRUNE_STRATEGIES", "tame"),
    ],
)
def test_a_bad_variable_is_named(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        load_settings(None, {variable: text})


def test_variables_of_each_type() -> None:
    found = load_settings(
        None,
        {
            "AML_PRUNE_MAX_LOSS": "40%",
            "AML_PRUNE_PINNED_IDS": "a, b,,c",
            "AML_PRUNE_STRATEGIES": "time",
            "AML_STORE_ALLOW_NETWORK_STORE": "yes",
            "AML_STORE_MAX_UNPACKED_MB": "7",
        },
    ).settings
    assert (found.prune.max_loss, found.prune.pinned_ids, found.prune.strategies) == (0.4, ("a", "b", "c"), ("time",))
    assert (found.store.allow_network_store, found.store.max_unpacked_mb) == (True, 7)


@pytest.mark.parametrize(
    ("text", "share"),
    [("30%", 0.3), ("100%", 1.0), ("0%", 0.0), ("0.25", 0.25), (" 5 % ", 0.05), ("1", 1.0), ("12.5%", 0.125)],
)
def test_shares(tmp_path: Path, text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "30", "101%", "-1%", "nan", "nan%", "inf", "a third", "3 0%", "30%%", "1e9"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_share(text)


def test_percentages_in_the_file(tmp_path: Path) -> None:
    file = _file(tmp_path, '[prune]\nmax_loss = "10%"\nmax_window_loss = 0.4\n')
    prune = load_settings(file, {}).settings.prune
    assert (prune.max_loss, prune.max_window_loss) == (pytest.approx(0.1), 0.4)


def test_every_setting_is_described_and_has_a_variable() -> None:
    for one in load_settings(None, {}).listed():
        assert one.description, one.name
    names = [variable_name(section, key) for section in sections() for key in keys(section)]
    assert len(names) == len(set(names))


def test_the_file_to_start_from_is_valid_and_changes_nothing(tmp_path: Path) -> None:
    text = as_toml(load_settings(None, {}))
    assert load_settings(_file(tmp_path, text), {}).settings == Settings()
    assert load_settings(_file(tmp_path, re.sub(r"(?m)^# (?=\w+ = )", "", text)), {}).settings == Settings()
    assert set(tomllib.loads(text)) == set(sections())
