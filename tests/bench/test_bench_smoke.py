"""The benchmark runs: tiny stores, one run of each row. Times are not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.measure import CHECKOUT
from tests.bench.rows import select

GROUPS = ("startup", "prune")


@pytest.mark.bench
def test_rows_run_and_are_reported(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = ["--rows", ",".join(GROUPS), "--runs", "1", "--scale", "0.002", "--settle", "0", "--json", str(report)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.run", *words], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = select(GROUPS)
    assert all(row.work in done.stdout for row in rows)
    results = {result["name"]: result for result in json.loads(report.read_text(encoding="utf-8"))["rows"]}
    assert list(results) == [row.name for row in rows]
    for row in rows:
        assert set(results[row.name]["forms"]) == set(row.forms)
        assert all(len(form["seconds"]) == 1 and form["median_s"] > 0 for form in results[row.name]["forms"].values())


@pytest.mark.bench
def test_a_command_that_fails_is_an_error_of_the_benchmark(tmp_path: Path) -> None:
    program = tmp_path / "aml"
    program.write_text("#!/bin/sh\necho 'the disk is full' >&2\nexit 3\n", encoding="utf-8")
    program.chmod(0o755)
    words = ["--aml", str(program), "--rows", "version", "--runs", "1", "--settle", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.run", *words], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "error: version (plain): exit 3: the disk is full" in done.stdout
