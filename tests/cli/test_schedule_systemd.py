"""``aml config init --schedule systemd``: what systemd itself makes of the units."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml.cli.schedule import JOBS
from tests.cli.running import PROJECT, aml, small_store
from tests.support.scheduling import ODD, scheduled, shell_words


def _systemd_is_here(*programs: str) -> None:
    if not all(shutil.which(one) for one in programs):
        assert not os.environ.get("AML_REQUIRE_SYSTEMD"), "systemd is required here"
        pytest.skip("systemd is not installed")


def verified(folder: Path) -> str:
    """What systemd says against the units in a folder; nothing where they are right."""
    units = sorted(str(path) for path in folder.iterdir())
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_LOG_LEVEL": "notice"}
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], env=environment, capture_output=True, text=True, timeout=60
    )
    # what other units of this machine are told is not about ours
    told = [line for line in (done.stdout + done.stderr).splitlines() if "aml-" in line]
    assert done.returncode == 0 or told, done.stderr
    return "\n".join(told)


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    _systemd_is_here("systemd-analyze")
    for folder in ("plain", ODD):
        project = small_store(tmp_path / folder)
        output = tmp_path / f"units-of-{len(folder)}"
        assert aml(project, "config", "init", "--schedule", "systemd", "--output", str(output)).status == 0
        assert verified(output) == ""
    examples = Path(shutil.copytree(PROJECT / "cron/systemd", tmp_path / "examples"))
    for path in examples.iterdir():
        # the program of the example is not there
        path.write_text(path.read_text(encoding="utf-8").replace("/usr/local/bin/aml", "/bin/true"), encoding="utf-8")
    assert verified(examples) == ""
    broken = next(examples.glob("*prune.service"))
    broken.write_text(
        broken.read_text(encoding="utf-8").replace("ProtectHome=yes", "ProtectHome=maybe"), encoding="utf-8"
    )
    assert "protect home" in verified(examples), "it would say so"


def test_systemd_takes_the_times_for_what_they_are() -> None:
    _systemd_is_here("systemd-analyze")
    for job in JOBS:
        done = subprocess.run(["systemd-analyze", "calendar", job.calendar], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0
        assert re.search(rf"Normalized form: {re.escape(job.calendar)}", done.stdout)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_systemd_itself_reads_the_words_that_are_meant(open_folder: Path) -> None:
    """Its test mode, which starts nothing, tells how it has understood each unit."""
    program = "/usr/lib/systemd/systemd"
    _systemd_is_here("systemd-analyze", program)
    project = small_store(open_folder / ODD)
    files = scheduled(project, "systemd", "--name", "odd")
    units = open_folder / "units"
    units.mkdir()
    for name in ("aml-odd-backup.service", "aml-odd-health.service"):
        (units / name).write_text(files[name], encoding="utf-8")
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    other = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    if other:
        shutil.chown(home, "nobody")
    done = subprocess.run(
        [program, "--test", "--user", "--unit=aml-odd-backup.service"],
        env={
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "PATH": "/usr/bin:/bin",
            "SYSTEMD_UNIT_PATH": f"{units}:",
        },
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        **other,  # type: ignore[call-overload]
    )
    unit = done.stdout.partition("-> Unit aml-odd-backup.service:")[2].partition("-> Unit ")[0]
    if "Command Line: " not in unit:
        pytest.skip("this systemd does not tell how it understands units")
    command = re.search(r"Command Line: (.*)", unit)
    paths = re.search(r"ReadWritePaths: (.*)", unit)
    assert command
    assert paths
    words = [word.replace("$$", "$") for word in shell_words(command[1])]
    assert words[-4:] == ["--store", str(project / ".loom/memory"), "backup", "auto"]
    assert paths[1] == str(project / ".loom")
