"""``aml monitor report`` as it is typed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.cli.running import aml, small_store
from tests.support.records import NOW
from tests.support.reports import Reader, markdown_tables
from tests.support.stores import tree_digest


def test_text_fits_a_mail_and_tells_health_first(tmp_path: Path) -> None:
    answer = aml(small_store(tmp_path), "monitor", "report")
    assert answer.status == 0
    assert answer.err == ""
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert answer.out.isascii()
    assert any(line.endswith("checks passed.") for line in lines[:6])
    order = [answer.out.index(f"\n{title}\n") for title in ("Health", "Alerts", "Agents", "Backups", "Reading")]
    assert order == sorted(order)


def test_html_is_one_private_file_without_a_script_or_an_address(tmp_path: Path) -> None:
    answer = aml(small_store(tmp_path), "monitor", "report", "--html", "report.html")
    assert (answer.status, answer.out, answer.err) == (0, "report: written to report.html\n", "")
    path = tmp_path / "report.html"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    page = path.read_text()
    reader = Reader(page)
    assert not {"script", "iframe", "object", "img"} & {name for name, _ in reader.tags}
    policy = next(found for name, found in reader.tags if name == "meta" and "http-equiv" in found)
    assert (
        policy["content"]
        == "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


def test_html_replaces_what_was_there_in_one_step_and_quiet_says_nothing(tmp_path: Path) -> None:
    aml(small_store(tmp_path), "monitor", "report", "--html", "report.html")
    inode = (tmp_path / "report.html").stat().st_ino
    answer = aml(tmp_path, "monitor", "report", "--html", "report.html", "-q")
    assert (answer.status, answer.out, answer.err) == (0, "", "")
    assert (tmp_path / "report.html").stat().st_ino != inode


def test_a_file_that_is_no_report_is_left_alone(tmp_path: Path) -> None:
    (small_store(tmp_path) / "notes.md").write_text("what nobody has twice")
    answer = aml(tmp_path, "monitor", "report", "--html", "notes.md")
    assert answer.status == 2
    assert "notes.md is there, and is no report" in answer.err
    assert (tmp_path / "notes.md").read_text() == "what nobody has twice"
    (tmp_path / "empty.html").touch()
    assert aml(tmp_path, "monitor", "report", "--html", "empty.html").status == 0


def test_a_link_of_ones_own_is_followed_and_that_of_another_user_is_not(tmp_path: Path) -> None:
    (small_store(tmp_path) / "shared").mkdir()
    (tmp_path / "shared/report.html").symlink_to(tmp_path / "target.html")
    assert aml(tmp_path, "monitor", "report", "--html", "shared/report.html").status == 0
    before = (tmp_path / "target.html").read_bytes()
    if os.geteuid() == 0:
        os.chown(tmp_path / "shared/report.html", 12_345, 12_345, follow_symlinks=False)
        answer = aml(tmp_path, "monitor", "report", "--html", "shared/report.html")
        assert answer.status == 2
        assert "another user" in answer.err
        assert (tmp_path / "target.html").read_bytes() == before


@pytest.mark.parametrize(
    "place", [".loom/memory/report.html", ".loom/memory.aml/report.html", ".loom/memory-backup/report.html"]
)
def test_a_report_is_never_put_into_the_store_or_what_belongs_to_it(tmp_path: Path, place: str) -> None:
    answer = aml(small_store(tmp_path), "monitor", "report", "--no-record", "--html", place)
    assert answer.status == 2
    assert not (tmp_path / place).exists()


def test_markdown_is_for_the_summary_of_a_job(tmp_path: Path) -> None:
    answer = aml(small_store(tmp_path), "monitor", "report", "--format", "markdown")
    assert answer.status == 0
    assert answer.out.startswith("## ")
    tables = list(markdown_tables(answer.out))
    assert tables[0][0][:3] == ["Records", "Agents", "On disk"]
    assert "<details>\n<summary>Last runs</summary>" in answer.out


def test_json_holds_all_that_the_others_tell(tmp_path: Path) -> None:
    small_store(tmp_path)
    aml(tmp_path, "prune", "--yes", "--max-loss", "100%")
    answer = aml(tmp_path, "monitor", "report", "--format", "json")
    assert answer.envelope["command"] == "monitor report"
    data = answer.envelope["data"]
    assert data["overall"]["state"] in ("healthy", "warning", "error", "critical")
    assert data["metrics"]["counts"]["records"] == 4
    assert data["removals"][0]["rules"] == {"unused_too_long": 1}
    levels = {finding["level"] for check in data["health"]["checks"] for finding in check["findings"]}
    assert levels <= {"info", "warning", "error", "critical"}
    assert aml(tmp_path, "monitor", "report", "--json").envelope["data"].keys() == data.keys()


def test_a_report_with_a_file_can_answer_in_json_too(tmp_path: Path) -> None:
    answer = aml(small_store(tmp_path), "monitor", "report", "--json", "--html", "report.html")
    assert answer.envelope["data"]["metrics"]["counts"]["agents"] == 1
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize(
    "words",
    [("--json", "--format", "text"), ("--html", "a.html", "--format", "markdown"), ("--html", ""), ("--html", "-")],
)
def test_contradictions_are_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    answer = aml(small_store(tmp_path), "monitor", "report", *words)
    assert answer.status == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [".loom"]


def test_a_damaged_store_is_reported_and_that_is_a_success(tmp_path: Path) -> None:
    small_store(tmp_path)
    (tmp_path / ".loom/memory/alpha/solutions.json").write_bytes(b"\x1f\x8b half")
    answer = aml(tmp_path, "monitor", "report")
    assert answer.status == 0
    assert "One thing must be mended" in answer.out


def test_nothing_is_written_where_nothing_is_to_be_recorded(tmp_path: Path) -> None:
    small_store(tmp_path)
    before = tree_digest(tmp_path)
    for words in ((), ("--format", "markdown"), ("--json",)):
        assert aml(tmp_path, "monitor", "report", "--no-record", *words).status == 0
    assert tree_digest(tmp_path) == before


def test_without_a_store_there_is_no_report(tmp_path: Path) -> None:
    answer = aml(tmp_path, "monitor", "report", "--html", "r.html", now=NOW.timestamp())
    assert answer.status == 10
    assert not (tmp_path / "r.html").exists()
