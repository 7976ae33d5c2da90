"""The picture of the rooms, and the list of them, are those of the code."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

from tests.cli.running import PROJECT

DRAWER = PROJECT / "docs" / "draw_rooms.py"
ARCHITECTURE = PROJECT / "docs" / "architecture.md"
PACKAGE = PROJECT / "aml"


def drawer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_rooms", DRAWER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DRAWN = drawer()


def rooms() -> set[str]:
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    return packages | {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}


def test_the_picture_is_up_to_date() -> None:
    assert DRAWN.PICTURE.read_text(encoding="utf-8") == DRAWN.picture(), "run python docs/draw_rooms.py"


def test_the_picture_shows_each_room_once() -> None:
    names = [one.text for one in ET.fromstring(DRAWN.picture()).iter() if one.get("class") == "name"]  # noqa: S314
    assert sorted(str(name) for name in names) == sorted(rooms())


def test_the_words_for_those_who_cannot_see_it_name_each_room() -> None:
    shown = re.search(r"!\[([^]]*)\]\(images/rooms.svg\)", ARCHITECTURE.read_text(encoding="utf-8"))
    assert shown
    assert [room for room in rooms() if not re.search(rf"\b{room}\b", shown[1])] == []


def test_a_picture_that_was_edited_is_noticed(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "docs", project / "docs")
    (project / "aml").symlink_to(PACKAGE)
    shutil.copy(PROJECT / "pyproject.toml", project)
    script = [sys.executable, str(project / "docs" / "draw_rooms.py")]
    assert subprocess.run([*script, "--check"], timeout=60).returncode == 0
    picture = project / "docs" / "images" / "rooms.svg"
    picture.write_text(picture.read_text(encoding="utf-8").replace("prune", "plum"), encoding="utf-8")
    done = subprocess.run([*script, "--check"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "rooms.svg" in done.stderr) == (1, True)


def entries() -> dict[str, str]:
    """What the list says of each room."""
    listed = re.search(r"```text\naml/\n(.*?)```", ARCHITECTURE.read_text(encoding="utf-8"), re.DOTALL)
    assert listed
    parts = [part for part in re.split(r"^  (?=\S)", listed[1], flags=re.MULTILINE) if part.strip()]
    return {part.split()[0].rstrip("/").removesuffix(".py"): part for part in parts}


def test_the_list_has_every_room_and_no_other() -> None:
    assert set(entries()) == {*rooms(), "__init__", "__main__"}


@pytest.mark.parametrize("room", sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()))
def test_every_module_is_named_where_its_room_is(room: str) -> None:
    modules = [path.stem for path in (PACKAGE / room).rglob("*.py") if not re.match(r"__|v\d", path.stem)]
    assert [name for name in sorted(modules) if not re.search(rf"\b{name}\b", entries()[room])] == []
