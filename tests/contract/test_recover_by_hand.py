"""A backup comes back without AML, by the recipes of docs/recover.md: standard tools alone."""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from aml.repository.check import check
from aml.repository.local_folder import LocalFolder
from aml.repository.repository import reading
from tests.contract.recovering import (
    FILES,
    back_up_tree,
    flip,
    list_of_files,
    look,
    make_tree,
    recipes,
    restore_with_script,
    run_recipe,
)
from tests.unit.repository.repositories import HOUR, NOW


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_tree(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


WANTED = [
    ("alice", "alice/patterns.json"),
    ("bob", "bob/solutions.json"),
    ("alice", "alice/empty.json"),
    ("", "c.json"),
]


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("source", ["packs", "index"])
@pytest.mark.parametrize(("agent", "wanted"), WANTED)
def test_one_file_comes_back_by_hand(
    agent: str, wanted: str, source: str, shell: str, store: Path, repository: Path, tmp_path: Path
) -> None:
    snapshot = back_up_tree(repository, store)
    assert len(list(repository.glob("packs/*/*.gz"))) > 2
    script = recipes("by hand")
    if source == "index":
        (tables,) = re.findall(r"^for pack in .*?^done.*?\n", script, re.DOTALL | re.MULTILINE)
        script = script.replace(tables, recipes("tables from the index"))
    else:
        shutil.rmtree(repository / "index")
    for name, value in (("ID", snapshot.id), ("AGENT", agent), ("FILE", wanted)):
        assert f"'{name}'" in script
        script = script.replace(f"'{name}'", shlex.quote(value))
    before = list_of_files(repository)
    done = run_recipe(script, repository, shell=shell)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == snapshot.id[-8:]
    assert [line.rpartition(" ")[2] for line in lines[1:]] == ["OK", "OK", "gzip" if agent == "bob" else "plain"]
    (content,) = tmp_path.glob("tmp.*/content")
    data = FILES[wanted]
    assert content.read_bytes() == (gzip.decompress(data) if agent == "bob" else data)
    assert list_of_files(repository) == before


def test_a_damaged_file_is_not_ok_by_hand(store: Path, repository: Path) -> None:
    snapshot = back_up_tree(repository, store)
    script = recipes("by hand").replace("'AGENT'", "alice").replace("'FILE'", "alice/patterns.json")
    for pack in repository.glob("packs/*/*.gz"):
        flip(pack, 3000)
    done = run_recipe("set +e\n" + script.replace("'ID'", snapshot.id), repository)
    assert "FAILED" in done.stdout or "no properly formatted" in done.stderr


def test_the_copy_that_is_worked_on_is_read_only(store: Path, repository: Path, tmp_path: Path) -> None:
    snapshot = back_up_tree(repository, store)
    copy = tmp_path / "a copy"
    script = recipes("copy").replace("'REPOSITORY'", str(repository)).replace("'COPY'", shlex.quote(str(copy)))
    subprocess.run(["sh", "-euc", script], check=True, timeout=60)
    assert not any(path.stat().st_mode & 0o222 for path in (copy, *copy.rglob("*")))
    assert restore_with_script(copy, snapshot.id, tmp_path / "target").returncode == 0
    assert look(tmp_path / "target") == look(store)
    subprocess.run(["chmod", "-R", "u+w", str(copy)], check=True, timeout=60)


def test_the_first_look_names_what_is_damaged(store: Path, repository: Path) -> None:
    snapshots = [back_up_tree(repository, store, moment=NOW + number * HOUR) for number in range(3)]
    for name in ("packs", "manifests"):
        done = run_recipe(recipes(name), repository)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pack, index = min(repository.glob("packs/*/*.gz")), min(repository.glob("index/*.gz"))
    flip(pack, 77)
    flip(index, 33)
    done = run_recipe(recipes("packs"), repository)
    assert done.returncode == 1
    damaged = {str(path.relative_to(repository)) for path in (pack, index)}
    assert {line.partition(":")[0] for line in done.stdout.splitlines()} == damaged
    for number, damage in ((0, lambda path: flip(path, 50)), (2, lambda path: path.write_bytes(b""))):
        damage(repository / "snapshots" / f"{snapshots[number].id}.json.gz")
    done = run_recipe(recipes("manifests"), repository)
    assert done.stdout.splitlines() == [f"snapshots/{snapshots[number].id}.json.gz: damaged" for number in (0, 2)]


def test_a_lost_description_is_written_again(store: Path, repository: Path, tmp_path: Path) -> None:
    snapshot = back_up_tree(repository, store)
    (repository / "repository.json").unlink()
    done = run_recipe(recipes("repository.json").replace("ID.json", f"{snapshot.id}.json"), repository)
    assert (done.returncode, done.stderr) == (0, "")
    with reading(LocalFolder(repository)) as reader:
        assert reader.snapshots().find("latest") == snapshot
    assert check(LocalFolder(repository), "deep").findings == []
    back_up_tree(repository, store, moment=NOW + HOUR)
