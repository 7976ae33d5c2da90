"""Where backups go, and the commands of the user's that run before and after."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

import pytest

from tests.cli.running import aml, kept, old, small_store
from tests.contract.backing_up import at, create_backup, ids_in, memory_of, project_in, repository_of, tree
from tests.support.stores import make_store, read_array, tree_digest

# ---- where backups go


def _folders(project: Path) -> set[str]:
    """The repositories in a project, by their paths in it."""
    return {path.parent.relative_to(project).as_posix() for path in project.rglob("repository.json")}


def test_flag_over_variables_over_settings_over_the_default(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    settings = project / ".loom/aml.toml"

    def new(*words: str, **environment: str) -> set[str]:
        before = _folders(project)
        assert aml(project, *words, "backup", "create", environment=environment).status == 0
        return _folders(project) - before

    assert new() == {".loom/memory-backup"}
    settings.write_text('[backup]\nrepository = "from-settings"\n', encoding="utf-8")
    assert new() == {".loom/from-settings"}, "from the folder that holds the store"
    assert new(AML_BACKUP_REPOSITORY="from-variable") == {".loom/from-variable"}
    assert new(AML_BACKUP_REPOSITORY="not-this", AML_REPOSITORY="from-place") == {"from-place"}, "from the current one"
    assert new("--repository", "from-flag", AML_REPOSITORY="nor-this") == {"from-flag"}
    for words, environment in (
        ([], {}),
        ([], {"AML_BACKUP_REPOSITORY": "from-variable"}),
        ([], {"AML_REPOSITORY": "from-place"}),
        (["--repository", "from-flag"], {}),
    ):
        answer = aml(project, *words, "backup", "list", "--json", environment=environment)
        assert len(answer.envelope["data"]["backups"]) == 1
        assert aml(project, *words, "backup", "verify", environment=environment).status == 0


def test_a_folder_with_other_things_in_it_does_not_become_a_repository(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    docs, disk = project / "docs", project / "disk"
    docs.mkdir()
    (docs / "important.md").write_text("x", encoding="utf-8")
    (disk / "lost+found").mkdir(parents=True)
    before = tree_digest(memory_of(project)), tree_digest(docs)
    for words in (["backup", "create"], ["backup", "auto"]):
        answer = aml(project, "--repository", "docs", *words)
        assert (answer.status, "important.md" in answer.err) == (2, True), answer
    assert (tree_digest(memory_of(project)), tree_digest(docs)) == before
    assert aml(project, "--repository", str(docs / "aml-backup"), "backup", "create").status == 0, (
        "what is advised works"
    )
    assert aml(project, "--repository", "disk", "backup", "create").status == 0, "a disk that was just mounted is empty"
    (disk / "note.txt").touch()
    assert aml(project, "--repository", "disk", "backup", "create").status == 0, "a repository may get company"


def test_a_prune_backs_up_to_the_same_place(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / ".loom/aml.toml").write_text('[backup]\nrepository = "../far"\n', encoding="utf-8")
    assert aml(project, "prune").status == 0
    assert _folders(project) == {"far"}


@pytest.mark.parametrize("place", [".loom/memory/r", ".loom/memory", ".loom/memory/alpha", ".loom", ".", "through/r"])
@pytest.mark.parametrize("how", ["flag", "settings"])
def test_2_a_repository_inside_the_store_or_around_it_is_refused(tmp_path: Path, place: str, how: str) -> None:
    project = project_in(tmp_path)
    (project / "through").symlink_to(".loom/memory")
    words = ["--repository", place] if how == "flag" else []
    if how == "settings":
        (project / ".loom/aml.toml").write_text(f'[backup]\nrepository = "../{place}"\n', encoding="utf-8")
    before = tree(project)
    for command in (["backup", "create"], ["backup", "list"], ["backup", "auto"], ["backup", "restore", "latest"]):
        answer = aml(project, *words, *command)
        assert answer.status == 2, command
        assert str(memory_of(project).parent) in answer.err or str(project) in answer.err
    assert tree(project) == before


def test_the_printed_way_back_names_the_repository(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    there = ["--repository", str(tmp_path / "other place")]
    assert aml(project, *there, "backup", "create").status == 0
    (memory_of(project) / "alpha/patterns.json").write_bytes(b"[]")
    answer = aml(project, *there, "backup", "restore", "latest", now=at(days=1))
    assert f"aml --repository '{tmp_path}/other place' backup restore" in answer.out


def test_two_stores_in_one_repository_are_warned_of(tmp_path: Path) -> None:
    one, other = project_in(tmp_path / "one"), project_in(tmp_path / "other")
    there = ["--repository", str(tmp_path / "shared")]
    assert aml(one, *there, "backup", "create").err == ""
    answer = aml(other, *there, "backup", "create", now=at(days=1))
    assert answer.status == 0
    assert str(memory_of(one)) in answer.err


def test_a_repository_of_its_own_user_is_private(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    for path in [repository_of(project), *repository_of(project).rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


# ---- hooks


def _hook(log: Path, then: str = "") -> list[str]:
    """A command that writes down what it is told, and then runs a line of shell."""
    return ["/bin/sh", "-c", f"env | grep ^AML_HOOK_ | tr '\\n' ' ' >>\"$0\"; echo >>\"$0\"; {then}", str(log)]


def _settings(project: Path, **hooks: list[str]) -> None:
    lines = [f"{name} = {json.dumps(command)}" for name, command in hooks.items()]
    (project / ".loom/aml.toml").write_text("\n".join(["[hooks]", *lines, ""]), encoding="utf-8")


def _told(log: Path) -> list[dict[str, str]]:
    """What each run of a hook was told, in order."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [dict(pair.removeprefix("AML_HOOK_").split("=", 1) for pair in line.split()) for line in lines]


def test_hooks_of_a_backup_are_told_what_came_of_it(tmp_path: Path) -> None:
    project, log = project_in(tmp_path / "p"), tmp_path / "log"
    _settings(project, before_backup=_hook(log), after_backup=_hook(log), after_failed_backup=_hook(log))
    answer = aml(project, "backup", "create", "--json")
    before, after = _told(log)
    assert (before["OPERATION"], before["MOMENT"], before["STATUS"]) == ("backup", "before", "")
    assert (after["MOMENT"], after["STATUS"]) == ("success", "0")
    assert after["ID_BACKUP"] == answer.envelope["data"]["id"]
    assert (after["COUNT_FILES"], after["COUNT_UNREAD"]) == ("4", "0")
    assert after["STORE"] == str(memory_of(project))
    assert after["REPOSITORY"] == str(repository_of(project))


@pytest.mark.parametrize("words", [["create"], ["auto"]], ids=" ".join)
def test_1_where_the_command_before_fails_there_is_no_backup(tmp_path: Path, words: list[str]) -> None:
    project, log = project_in(tmp_path / "p"), tmp_path / "log"
    _settings(project, before_backup=_hook(log, "echo the disk is not mounted; exit 3"), after_backup=_hook(log))
    answer = aml(project, "backup", *words)
    assert (answer.status, answer.out) == (1, "")
    assert "exited with status 3" in answer.err
    assert "the disk is not mounted" in answer.err
    assert not repository_of(project).exists()
    assert [one["MOMENT"] for one in _told(log)] == ["before"]
    failed = aml(project, "backup", *words, "--json").envelope["errors"][0]
    assert failed["type"] == "HookError"


def test_a_failing_command_afterwards_is_only_warned_of(tmp_path: Path) -> None:
    project, log = project_in(tmp_path / "p"), tmp_path / "log"
    _settings(project, after_backup=_hook(log, "exit 1"))
    answer = aml(project, "backup", "create")
    assert answer.status == 0
    assert "exited with status 1" in answer.err
    assert len(ids_in(project)) == 1


def test_the_hook_for_failure_is_told_the_status(tmp_path: Path) -> None:
    project, log = project_in(tmp_path / "p"), tmp_path / "log"
    create_backup(project)
    _settings(project, after_failed_backup=_hook(log), after_backup=_hook(log))
    environment = {"AML_LOCKS_TIMEOUT_SECONDS": "0", "AML_BACKUP_RETRIES": "2", "AML_BACKUP_RETRY_SECONDS": "0"}
    with (repository_of(project) / "lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert aml(project, "backup", "create", environment=environment).status == 11
        assert aml(project, "backup", "auto", environment=environment).status == 11
    assert [(one["MOMENT"], one["STATUS"]) for one in _told(log)] == [("failure", "11")] * 2, "once around all attempts"


def test_hooks_of_a_prune_are_told_run_and_backup(tmp_path: Path) -> None:
    project, log = small_store(tmp_path / "p"), tmp_path / "log"
    _settings(project, before_prune=_hook(log), after_prune=_hook(log), after_backup=_hook(log, "exit 1"))
    data = aml(project, "prune", "--json").envelope["data"]
    before, after = _told(log)
    assert (before["OPERATION"], before["MOMENT"]) == ("prune", "before")
    assert (after["ID_RUN"], after["ID_BACKUP"]) == (data["run"], data["backup"])
    assert (after["COUNT_RECORDS"], after["COUNT_REMOVED"]) == ("5", "1")


def test_1_where_the_command_before_fails_nothing_is_removed(tmp_path: Path) -> None:
    project, log = small_store(tmp_path / "p"), tmp_path / "log"
    _settings(project, before_prune=["/bin/false"], after_failed_prune=_hook(log))
    before = tree_digest(memory_of(project))
    answer = aml(project, "prune")
    assert answer.status == 1
    assert "/bin/false" in answer.err
    assert tree_digest(memory_of(project)) == before
    assert not (repository_of(project) / "snapshots").exists(), "nor is a backup made"
    assert [one["STATUS"] for one in _told(log)] == ["1"]


def test_the_hook_for_a_part_is_told_of_a_prune_that_left_something(tmp_path: Path) -> None:
    project, log = tmp_path / "p", tmp_path / "log"
    make_store(project, {"alpha": {"patterns": [old(str(number)) for number in range(60)] + [kept("k")]}})
    _settings(project, after_partial_prune=_hook(log), after_prune=_hook(log))
    assert aml(project, "prune").status == 3
    (after,) = _told(log)
    assert (after["MOMENT"], after["STATUS"]) == ("partial", "3")
    assert int(after["COUNT_DEFERRED"]) > 0


@pytest.mark.parametrize("words", [["prune", "--dry-run"], ["backup", "list"], ["backup", "verify"]], ids=" ".join)
def test_who_only_looks_runs_no_hook(tmp_path: Path, words: list[str]) -> None:
    project, log = small_store(tmp_path / "p"), tmp_path / "log"
    create_backup(project)
    _settings(project, before_prune=_hook(log), before_backup=_hook(log), after_prune=_hook(log))
    assert aml(project, *words).status == 0
    assert _told(log) == []


def test_no_shell_reads_a_command(tmp_path: Path) -> None:
    project = project_in(tmp_path / "p")
    _settings(project, before_backup=[shutil.which("touch") or "touch", f"{tmp_path}/a b; echo $HOME"])
    assert aml(project, "backup", "create").status == 0
    assert (tmp_path / "a b; echo $HOME").exists()
    assert [one["id"] for one in read_array(memory_of(project) / "alpha/patterns.json")] != []
