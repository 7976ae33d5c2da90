"""``aml config init --schedule``: crontabs and units that are right for one store, and the examples in cron/."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from aml.cli.schedule import JOBS
from aml.cli.schedule_cron import JITTER
from tests.cli.running import PROJECT, aml, aml_child, small_store
from tests.support.scheduling import (
    ODD,
    cron_commands,
    scheduled,
    settings_of,
    shell_words,
    systemd_command,
    systemd_paths,
)
from tests.support.stores import tree_digest

CRON = PROJECT / "cron"
OWNER = pwd.getpwuid(os.geteuid()).pw_name


def lines_of(crontab: str) -> list[tuple[str, str]]:
    """Time and command of each job."""
    found = [line.split(maxsplit=5) for line in crontab.splitlines() if re.match(r"[0-9*]", line)]
    return [(" ".join(line[:5]), line[5]) for line in found]


def services(files: dict[str, str]) -> dict[str, dict[str, str]]:
    """The settings of each service by the name of its job."""
    found = {name: settings_of(text) for name, text in files.items() if name.endswith(".service")}
    return {name.removesuffix(".service").rpartition("-")[2]: settings for name, settings in found.items()}


def test_the_examples_are_what_the_program_writes_and_nothing_else() -> None:
    """docs/generate_cli.py --check compares their text."""
    names = {f"aml-project-{job.name}.{kind}" for job in JOBS for kind in ("service", "timer")}
    assert {one.name for one in (CRON / "systemd").iterdir()} == names
    assert {one.name for one in CRON.iterdir()} == {"aml.crontab", "systemd"}
    assert re.search(r"^0 2 \* \* \*  /usr/local/bin/aml --store /project/\.loom/memory backup auto -q$",
                     (CRON / "aml.crontab").read_text(encoding="utf-8"), re.MULTILINE)  # fmt: skip


def test_every_job_runs_when_it_should() -> None:
    times = {job.name: (job.cron, job.calendar) for job in JOBS}
    assert times == {
        "backup": ("0 2 * * *", "*-*-* 02:00:00"),
        "prune": ("0 3 * * 0", "Sun *-*-* 03:00:00"),
        "health": ("0 6 * * *", "*-*-* 06:00:00"),
        "optimize": ("0 4 1 * *", "*-*-01 04:00:00"),
        "drill": ("0 5 1 * *", "*-*-01 05:00:00"),
    }


@pytest.mark.parametrize(
    "words",
    [
        "aml /project/.loom/memory backup auto",
        "aml /project/.loom/memory prune --strategies time_based performance_based",
        "aml /project/.loom/memory monitor health",
        "aml /project/.loom/memory optimize index",
    ],
)
def test_the_lines_that_older_crontabs_have_work_word_for_word(tmp_path: Path, words: str) -> None:
    project = small_store(tmp_path / "project")
    aml(project, "backup", "create")
    answer = aml(tmp_path, *words.replace("/project", str(project)).split()[1:])
    assert answer.status == 0, answer.err


def test_the_crontab_of_a_store_does_its_jobs_from_anywhere(tmp_path: Path) -> None:
    project = small_store(tmp_path / ODD)
    crontab = scheduled(project, "cron")["aml.crontab"]
    assert f"crontab -u {OWNER} -e" in crontab
    jobs = lines_of(crontab)
    assert [time for time, _ in jobs] == [job.cron for job in JOBS]
    memory = str(project / ".loom/memory")
    for (_, command), job in zip(jobs, JOBS, strict=True):
        for version in set(cron_commands(command)):
            words = shell_words(version)
            assert os.access(words[0], os.X_OK)
            options = words[words.index("--store") :]
            assert options == ["--store", memory, *job.words, "-q"]
        answer = aml(tmp_path, *options)
        assert (answer.status, answer.out, answer.err) == (0, "", ""), "no mail where all went well"


def test_a_line_of_the_crontab_runs_as_cron_runs_it(tmp_path: Path) -> None:
    """With the few variables that cron sets, by /bin/sh, from the home folder."""
    project = small_store(tmp_path / ODD)
    command = lines_of(scheduled(project, "cron")["aml.crontab"])[0][1]
    done = subprocess.run(
        ["/bin/sh", "-c", cron_commands(command)[0]],
        cwd="/",
        env={"HOME": "/", "LOGNAME": OWNER, "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(aml(project, "backup", "list", "--json").envelope["data"]["backups"]) == 1


def test_the_pause_that_is_shown_for_cron_is_of_minutes_and_needs_no_escape() -> None:
    assert "%" not in JITTER
    assert JITTER in (CRON / "aml.crontab").read_text(encoding="utf-8")
    script = JITTER.replace("sleep", "echo").removesuffix("&&")
    seconds = {int(subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True).stdout) for _ in range(8)}
    assert all(0 <= one <= 765 for one in seconds)
    assert len(seconds) > 1


def test_options_that_the_settings_do_not_say_are_in_every_line(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / "other.toml").write_text('[backup]\nrepository = "by-setting"\n', encoding="utf-8")
    words = shell_words(lines_of(scheduled(project, "cron", "--config", "other.toml")["aml.crontab"])[0][1])
    assert words[-5:] == ["--config", str(project / "other.toml"), "backup", "auto", "-q"]
    environment = {"AML_REPOSITORY": "elsewhere", "AML_CONFIG": "other.toml"}
    found = scheduled(project, "cron", environment=environment)["aml.crontab"]
    assert f"--repository {project}/elsewhere --config {project}/other.toml backup auto -q" in found


def test_what_a_service_may_write_to_is_what_the_jobs_need(tmp_path: Path) -> None:
    project = small_store(tmp_path / "project")
    loom = str(project / ".loom")
    backup = services(scheduled(project, "systemd"))["backup"]
    assert systemd_paths(backup["ReadWritePaths"]) == [loom], (
        "one mount, so that files can be linked from one to the other"
    )
    (tmp_path / "disk").mkdir()
    environment = {"AML_LOG_FILE": str(tmp_path / "logs/aml.log")}
    (tmp_path / "logs").mkdir()
    elsewhere = scheduled(project, "systemd", "--repository", str(tmp_path / "disk/new"), environment=environment)
    found = systemd_paths(services(elsewhere)["backup"]["ReadWritePaths"])
    assert found == [str(tmp_path / "disk"), str(tmp_path / "logs"), loom], "a repository that is still to be made"
    (tmp_path / "disk/new").mkdir()
    elsewhere = scheduled(project, "systemd", "--repository", str(tmp_path / "disk/new"))
    found = systemd_paths(services(elsewhere)["backup"]["RequiresMountsFor"])
    assert found == [str(tmp_path / "disk/new"), loom]


def test_a_store_behind_a_link_is_named_by_it_and_written_where_it_is(tmp_path: Path) -> None:
    project = small_store(tmp_path / "releases/42")
    (tmp_path / "current").symlink_to("releases/42")
    store = tmp_path / "current/.loom/memory"
    backup = services(scheduled(tmp_path, "systemd", "--store", str(store)))["backup"]
    assert systemd_command(backup["ExecStart"])[-4:] == ["--store", str(store), "backup", "auto"]
    assert systemd_paths(backup["ReadWritePaths"]) == [str(project / ".loom")]


def test_services_are_shut_in_as_far_as_each_allows(tmp_path: Path) -> None:
    found = services(scheduled(small_store(tmp_path), "systemd"))
    for name, settings in found.items():
        assert settings["User"] == OWNER
        assert settings["ProtectSystem"] == "strict"
        assert settings["NoNewPrivileges"] == "yes"
        assert settings["UMask"] == "0077"
        assert settings["SystemCallFilter"] == "@system-service"
        assert settings["RestrictAddressFamilies"].split() == (
            ["AF_UNIX", "AF_INET", "AF_INET6"] if name == "health" else ["AF_UNIX"]
        )
        assert settings["PrivateTmp"] == "no", "these stores lie in /tmp"
        assert ("SuccessExitStatus" in settings) == (name in ("prune", "optimize"))
    assert found["drill"]["After"] == "aml-%s-backup.service aml-%s-prune.service aml-%s-optimize.service".replace(
        "%s", tmp_path.name.strip("-.")[:64]
    )
    examples = {path.name: path.read_text(encoding="utf-8") for path in (CRON / "systemd").iterdir()}
    for settings in services(examples).values():
        assert (settings["ProtectHome"], settings["PrivateTmp"]) == ("yes", "yes")
        assert settings["CapabilityBoundingSet"] == ""


def test_timers_catch_up_and_spread(tmp_path: Path) -> None:
    files = scheduled(small_store(tmp_path), "systemd")
    timers = [settings_of(text) for name, text in files.items() if name.endswith(".timer")]
    assert [one["OnCalendar"] for one in timers] == [job.calendar for job in JOBS]
    for one in timers:
        assert (one["Persistent"], one["RandomizedDelaySec"], one["WantedBy"]) == ("yes", "15min", "timers.target")


@pytest.mark.parametrize(("folder", "name"), [("my project!", "my-project"), ("..x..", "x"), ("é", "store")])
def test_units_are_named_after_the_project(tmp_path: Path, folder: str, name: str) -> None:
    project = small_store(tmp_path / folder)
    assert f"aml-{name}-backup.timer" in scheduled(project, "systemd")
    assert "aml-other-backup.timer" in scheduled(project, "systemd", "--name", "other")


@pytest.mark.parametrize("form", ["cron", "systemd"])
def test_a_schedule_is_written_once_and_never_over_anything(tmp_path: Path, form: str) -> None:
    project = small_store(tmp_path)
    before = tree_digest(project / ".loom")
    answer = aml(project, "config", "init", "--schedule", form)
    assert answer.status == 0
    written = sorted((project / "aml-schedule").iterdir())
    assert len(written) == (1 if form == "cron" else 2 * len(JOBS))
    assert {path.stat().st_mode & 0o777 for path in written} == {0o644}
    assert all(f"wrote {path}" in answer.out for path in written)
    assert {path.name: path.read_text(encoding="utf-8") for path in written} == scheduled(project, form)
    written[-1].write_text("mine", encoding="utf-8")
    again = aml(project, "config", "init", "--schedule", form, "--json")
    assert (again.status, again.envelope["errors"][0]["type"]) == (1, "FileAccessError")
    assert "exists already" in again.envelope["errors"][0]["message"]
    assert written[-1].read_text(encoding="utf-8") == "mine"
    other = aml(project, "config", "init", "--schedule", form, "--output", "a/b", "--json").envelope["data"]
    assert sorted(one["path"] for one in other["files"]) == [str(project / "a/b" / path.name) for path in written]
    assert other["form"] == form
    assert other["steps"]
    assert tree_digest(project / ".loom") == before


def test_one_file_in_the_way_keeps_all_from_being_written(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / "units").mkdir()
    name = list(scheduled(project, "systemd"))[-1]
    (project / "units" / name).symlink_to("nowhere")
    assert aml(project, "config", "init", "--schedule", "systemd", "--output", "units").status == 1
    assert [one.name for one in (project / "units").iterdir()] == [name]


def test_a_call_that_was_broken_off_between_two_files_is_gone_on_with(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    words = ("config", "init", "--schedule", "systemd", "--output", "units")
    assert aml(project, *words).status == 0
    whole = {path: path.read_bytes() for path in (project / "units").iterdir()}
    first, second, *rest = sorted((project / "units").iterdir())
    for path in rest:
        path.unlink()
    answer = aml(project, *words)
    assert answer.status == 0
    assert {path: path.read_bytes() for path in (project / "units").iterdir()} == whole
    assert {f"there already: {first}", f"there already: {second}", f"wrote {rest[0]}"} <= set(answer.out.splitlines())
    rest[0].unlink()
    first.write_bytes(first.read_bytes() + b"# mine\n")
    assert aml(project, *words).status == 1
    assert not rest[0].exists()


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--output", "x"], 2, "are for --schedule"),
        (["--name", "x"], 2, "are for --schedule"),
        (["--schedule", "launchd"], 2, "'launchd' is not one of"),
        (["--schedule", "cron", "--name", "x"], 2, "--name is for"),
        (["--schedule", "systemd", "--name", "a b"], 2, "no name for units"),
        (["--schedule", "systemd", "--name", ""], 2, "no name for units"),
        (["--schedule", "cron", "--output", ""], 2, "--output is empty"),
        (["--schedule", "cron", "--output", "x", "--print"], 2, "contradict"),
        (["--schedule", "cron", "--output", ".loom/memory/x"], 2, "no place for a schedule"),
        (["--schedule", "cron", "--output", ".loom/memory-backup"], 2, "no place for a schedule"),
        (["--schedule", "cron", "--store", "missing"], 10, "no store at"),
    ],
)
def test_what_cannot_be_scheduled_is_told(tmp_path: Path, words: list[str], status: int, told: str) -> None:
    project = small_store(tmp_path)
    before = tree_digest(tmp_path)
    answer = aml(project, "config", "init", *words)
    assert answer.status == status
    assert told in answer.err
    assert tree_digest(tmp_path) == before


def test_a_path_with_a_line_break_is_refused(tmp_path: Path) -> None:
    project = small_store(tmp_path / "two\nlines")
    for form in ("cron", "systemd"):
        answer = aml(project, "config", "init", "--schedule", form)
        assert answer.status == 2
        assert "control character" in answer.err
    project = small_store(tmp_path / "plain")
    for form in ("cron", "systemd"):
        words = ("--repository", "new\n* * * * * x", "config", "init", "--schedule", form, "--print")
        answer = aml(project, *words)
        assert (answer.status, answer.out) == (2, ""), "a repository that is still to be made stands in every line too"


def test_a_path_that_is_no_text_is_kept_for_cron_and_refused_for_systemd(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xffx")
    os.mkdir(folder)
    project = small_store(Path(folder))
    output = str(tmp_path / "out")
    assert aml_child(project, "config", "init", "--schedule", "cron", "--output", output).status == 0
    command = next(
        line for line in (tmp_path / "out/aml.crontab").read_bytes().splitlines() if line.startswith(b"0 2 * * *  ")
    )
    words = shell_words(os.fsdecode(command.removeprefix(b"0 2 * * *  ")))
    assert os.fsencode(words[words.index("--store") + 1]) == os.fsencode(folder) + b"/.loom/memory"
    refused = aml_child(project, "config", "init", "--schedule", "systemd", "--output", output)
    assert refused.status == 2
    assert "not UTF-8" in refused.err


def test_the_program_that_is_named_is_the_one_that_runs(tmp_path: Path) -> None:
    """By its script where there is one; started by Python, by that."""
    project = small_store(tmp_path)
    script = tmp_path / "bin/aml"
    script.parent.mkdir()
    script.write_text(
        f"#!{sys.executable}\nfrom aml.__main__ import main\nraise SystemExit(main())\n", encoding="utf-8"
    )
    script.chmod(0o755)
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    words = ["config", "init", "--schedule", "cron", "--print"]
    done = subprocess.run(
        ["bin/aml", *words], cwd=project, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert shlex.split(lines_of(done.stdout)[0][1])[0] == str(script)
    other = aml_child(project, *words)
    first = shlex.split(lines_of(other.out)[0][1])
    assert first[0] == str(Path(sys.executable).with_name("aml")) or first[:3] == [sys.executable, "-m", "aml"]
