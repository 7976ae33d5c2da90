"""What hooks are told by variables of their environment."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aml.errors import ExitStatus
from aml.hooks import Hooks, Told, hooked
from tests.unit.hooking import (
    PYTHON,
    Scene,
    done,
    shell,
)


def test_hooks_are_told_what_happened(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AML_HOOK_ID_OF_ANOTHER_RUN", "20")
    monkeypatch.setenv("KEPT", "as it is")
    script = (
        "import os, sys; kept = {k: v for k, v in os.environ.items() if k.startswith('AML_HOOK_') or k == 'KEPT'}\n"
        "open(sys.argv[1], 'a').write(repr(kept) + '\\n')"
    )
    command = (*PYTHON, script, str(scene.log))

    def body(told: Told) -> None:
        told.ids["backup"] = "20260101-abc"
        told.ids["last-run of"] = "7"
        told.counts["removed"] = 12
        told.status = ExitStatus.PARTIAL

    scene.run(Hooks(before=command, partial=command), body)
    before, after = [eval(line) for line in scene.log.read_text().splitlines()]  # noqa: S307  (repr of our own)
    common = {
        "KEPT": "as it is",
        "AML_HOOK_OPERATION": "prune",
        "AML_HOOK_STORE": str(scene.store),
        "AML_HOOK_REPOSITORY": str(scene.repository),
    }
    assert before == common | {"AML_HOOK_MOMENT": "before", "AML_HOOK_STATUS": ""}
    assert after == common | {
        "AML_HOOK_MOMENT": "partial",
        "AML_HOOK_STATUS": "3",
        "AML_HOOK_ID_BACKUP": "20260101-abc",
        "AML_HOOK_ID_LAST_RUN_OF": "7",
        "AML_HOOK_COUNT_REMOVED": "12",
    }
    assert "AML_HOOK_STATUS" not in os.environ


def test_what_one_operation_tells_is_not_told_by_the_next(scene: Scene) -> None:
    def body(told: Told) -> None:
        assert (told.ids, told.counts, told.status) == ({}, {}, None)
        told.ids["run"] = "1"
        told.counts["removed"] = 1
        told.status = ExitStatus.DONE

    for _ in range(2):
        scene.run(Hooks(), body)


def test_relative_paths_are_told_as_absolute_ones(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hooks = Hooks(success=shell('echo "$AML_HOOK_STORE" "$AML_HOOK_REPOSITORY" >"$0"', str(scene.log)))
    with hooked(hooks, "backup", store=Path("a"), repository=Path("b"), warn=scene.warnings.append) as told:
        told.status = ExitStatus.DONE
    assert scene.logged() == [str(tmp_path / "a"), str(tmp_path / "b")]


def test_a_path_that_is_not_utf_8_is_told_byte_for_byte(scene: Scene) -> None:
    scene.store = Path(os.fsdecode(b"/memory of \xff\xfe\n agents"))
    scene.run(Hooks(success=shell('printf %s "$AML_HOOK_STORE" >"$0"', str(scene.log))), done)
    assert scene.log.read_bytes() == b"/memory of \xff\xfe\n agents"


@settings(max_examples=25)
@example(name="\ud800", value="half \ud800 of a pair\0")
@given(name=st.text(st.characters(), max_size=8), value=st.text(st.characters(), max_size=8))
def test_no_text_is_too_odd_to_be_told(name: str, value: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    scene = Scene(tmp_path_factory.mktemp("odd"))
    script = "import os, sys; open(sys.argv[1], 'wb').write(b'\\0'.join(b'%s=%s' % i for i in os.environb.items()))"
    scene.store = Path(f"/{name}")

    def body(told: Told) -> None:
        told.ids[name] = value
        told.status = ExitStatus.DONE

    scene.run(Hooks(success=(*PYTHON, script, str(scene.log))), body)
    assert scene.warnings == []
    told = dict(pair.split(b"=", 1) for pair in scene.log.read_bytes().split(b"\0"))
    (variable,) = [one for one in told if one.startswith(b"AML_HOOK_ID_")]
    assert variable.isascii()
    with suppress(UnicodeEncodeError):
        assert told[variable] == os.fsencode(value).replace(b"\0", b"\\x00")


def test_a_value_too_large_for_the_system_is_a_hook_that_cannot_be_started(scene: Scene) -> None:
    def body(told: Told) -> None:
        told.ids["run"] = "x" * (1 << 24)
        told.status = ExitStatus.DONE

    scene.run(Hooks(success=scene.logging()), body)
    assert "could not be started: Argument list too long" in scene.warnings[0]
