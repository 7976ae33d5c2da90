"""Hooks: which command runs when, what it is told, how it fails, and that it can neither block nor outlast a run."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from aml.errors import AmlError, ExitStatus, InterruptedRunError, LockedError
from aml.hooks import HookError, Hooks
from tests.unit.hooking import (
    PROJECT,
    PYTHON,
    Scene,
    appears,
    done,
    ends_soon,
    ends_with,
    is_running,
    must_not_run,
    raises,
    shell,
)


def test_without_hooks_nothing_is_started_and_nothing_for_it_is_imported() -> None:
    script = (
        "import sys; from pathlib import Path; from aml.hooks import Hooks, hooked; from aml.errors import ExitStatus\n"
        "with hooked(Hooks(), 'prune', store=Path('a'), repository=Path('b'), warn=print) as told:\n"
        "    told.status = ExitStatus.DONE\n"
        "print([name for name in ('subprocess', 'tempfile', 'shlex') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("status", "moment"),
    [
        (ExitStatus.DONE, "success:0"),
        (ExitStatus.PARTIAL, "partial:3"),
        (ExitStatus.FAILED, "failure:1"),
        (ExitStatus.HEALTH_CRITICAL, "failure:5"),
        (None, "failure:1"),
    ],
)
def test_the_hook_after_an_operation_goes_by_its_status(scene: Scene, status: ExitStatus | None, moment: str) -> None:
    scene.run(scene.all_logging(), ends_with(status))
    assert scene.logged() == ["before:", moment]
    assert scene.warnings == []


@pytest.mark.parametrize(
    ("error", "moment"),
    [
        (AmlError("no"), "failure:1"),
        (LockedError("held"), "failure:11"),
        (InterruptedRunError("stopped"), "failure:130"),
        (KeyboardInterrupt(), "failure:130"),
        (RuntimeError("bug"), "failure:1"),
        (SystemExit(7), "failure:1"),
    ],
)
def test_an_exception_means_failure_and_is_raised_unchanged(scene: Scene, error: BaseException, moment: str) -> None:
    with pytest.raises(type(error)) as raised:
        scene.run(scene.all_logging(), raises(error))
    assert raised.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    assert scene.logged() == ["before:", moment]


def test_a_single_hook_may_be_the_only_one(scene: Scene) -> None:
    scene.run(Hooks(partial=scene.logging()), ends_with(ExitStatus.DONE))
    assert scene.logged() == []
    scene.run(Hooks(partial=scene.logging()), ends_with(ExitStatus.PARTIAL))
    assert scene.logged() == ["partial:3"]


def test_a_failing_hook_before_stops_the_operation_and_the_failure_hook_tells(scene: Scene) -> None:
    hooks = Hooks(before=scene.logging("echo disk is away; exit 3"), success=scene.logging(), failure=scene.logging())
    with pytest.raises(HookError) as raised:
        scene.run(hooks, must_not_run)
    assert scene.logged() == ["before:", "failure:1"]
    assert raised.value.status == ExitStatus.FAILED
    for words in (
        "the before hook of prune",
        "/bin/sh -c",
        "exited with status 3",
        "disk is away",
        "nothing was chang",
    ):
        assert words in raised.value.message
    assert "run the same command again" in raised.value.advice


def test_a_failing_failure_hook_does_not_hide_the_first_error(scene: Scene) -> None:
    with pytest.raises(HookError, match="exited with status 3"):
        scene.run(Hooks(before=shell("exit 3"), failure=shell("exit 4")), must_not_run)
    (warning,) = scene.warnings
    assert warning.startswith("the failure hook of prune, /bin/sh -c 'exit 4', exited with status 4, without a word")


@pytest.mark.parametrize("status", [ExitStatus.DONE, ExitStatus.PARTIAL, ExitStatus.FAILED])
def test_a_failing_hook_after_is_only_warned_of(scene: Scene, status: ExitStatus) -> None:
    failing = shell("echo out; echo err >&2; exit 9")
    scene.run(Hooks(success=failing, partial=failing, failure=failing), ends_with(status))
    (warning,) = scene.warnings
    assert "exited with status 9; its output ends: out | err; the outcome of prune stays as it is" in warning


def test_a_failing_hook_after_an_error_leaves_the_error_as_it_is(scene: Scene) -> None:
    with pytest.raises(LockedError, match="held"):
        scene.run(Hooks(failure=("no-such-program-anywhere",)), raises(LockedError("held")))
    assert "could not be started" in scene.warnings[0]


def test_the_output_of_a_hook_that_succeeds_is_not_shown(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    loud = shell("echo words; echo more >&2")
    scene.run(Hooks(before=loud, success=loud), done)
    assert scene.warnings == []
    assert capfd.readouterr() == ("", "")


def test_no_shell_reads_the_arguments(scene: Scene, tmp_path: Path) -> None:
    odd = ["two words", "; touch made", "$(touch made)", "`touch made`", "$HOME", "*", "'", '"', "\\n", "", "a\nb", "~"]
    script = "import sys; open(sys.argv[1], 'w').write(repr(sys.argv[2:]))"
    program = tmp_path / "a $(touch made) program;"
    program.symlink_to(sys.executable)
    scene.run(Hooks(before=(str(program), "-I", "-S", "-c", script, str(scene.log), *odd)), done)
    assert scene.log.read_text() == repr(odd)
    assert not (tmp_path / "made").exists()
    assert not Path("made").exists()


def test_a_program_is_found_on_the_path(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tell-somebody"
    program.write_text(f"#!/bin/sh\necho found >{shlex.quote(str(scene.log))}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    scene.run(Hooks(before=("tell-somebody",)), done)
    assert scene.logged() == ["found"]


def _not_executable(folder: Path) -> str:
    file = folder / "plain.sh"
    file.write_text("#!/bin/sh\n")
    return str(file)


def _without_interpreter(folder: Path) -> str:
    file = folder / "bare"
    file.write_text("echo hello\n")
    file.chmod(0o755)
    return str(file)


def _missing_interpreter(folder: Path) -> str:
    file = folder / "old"
    file.write_text("#!/no/such/interpreter\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: "/no/such/program", "there is no such program"),
        (lambda _: "no-such-program-anywhere", "there is no such program"),
        (lambda _: "", "could not be started"),
        (str, "chmod +x"),
        (_not_executable, "chmod +x"),
        (_without_interpreter, "#!/bin/sh"),
        (_missing_interpreter, "the interpreter that the script names is missing"),
        (lambda _: "nul\0inside", "null byte"),
        (lambda _: "half \ud800 a pair", "could not be started"),
    ],
)
def test_a_program_that_cannot_be_started_is_named_with_the_reason(
    scene: Scene, tmp_path: Path, make: Callable[[Path], str], words: str
) -> None:
    command = (make(tmp_path), "argument")
    error = scene.refusal(command)
    assert "could not be started" in error.message
    assert words in error.message
    assert "argument" in error.message
    assert error.message.isprintable()
    assert words in scene.warned(command)


def test_without_a_folder_for_temporary_files_a_hook_is_not_started(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    error = scene.refusal(scene.logging())
    assert "could not be started: No such file or directory (/no/such/folder/" in error.message
    assert scene.logged() == []


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGTERM, "killed by signal 15 (SIGTERM)"), (signal.SIGKILL, "killed by signal 9 (SIGKILL)")],
)
def test_death_by_a_signal_is_named(scene: Scene, number: int, words: str) -> None:
    assert words in scene.refusal(shell(f"kill -{int(number)} $$")).message


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="no real-time signals here")
def test_death_by_a_signal_without_a_name_is_numbered(scene: Scene) -> None:
    number = signal.SIGRTMIN + 5
    assert (
        f"killed by signal {number}, without a word"
        in scene.refusal((*PYTHON, f"import os; os.kill(os.getpid(), {number})")).message
    )


def test_a_hook_that_takes_too_long_is_killed_with_all_it_started(scene: Scene, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    line = f"trap '' TERM; sleep 60 & echo $! $$ >{shlex.quote(str(pids))}; echo waiting; wait"
    began = time.monotonic()
    error = scene.refusal(shell(line), timeout=0.4)
    assert time.monotonic() - began < 10
    assert "took more than 0.4 s and was killed; its output ends: waiting; nothing was changed" in error.message
    assert all(ends_soon(int(pid)) for pid in appears(pids).split())


def test_a_hook_after_that_takes_too_long_is_warned_of(scene: Scene) -> None:
    assert "took more than 0.2 s and was killed, without a word" in scene.warned(("sleep", "60"), timeout=0.2)


@pytest.fixture
def daemon_pid(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "daemon.pid"
    yield file
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(file.read_text()), signal.SIGKILL)


def test_what_a_hook_leaves_in_the_background_is_neither_waited_for_nor_killed(scene: Scene, daemon_pid: Path) -> None:
    line = f"(while :; do echo still here; sleep 0.05; done) & echo $! >{shlex.quote(str(daemon_pid))}; exit 5"
    began = time.monotonic()
    assert "exited with status 5" in scene.refusal(shell(line)).message
    assert time.monotonic() - began < 10
    time.sleep(0.2)
    assert is_running(int(daemon_pid.read_text()))


def test_much_output_neither_blocks_a_hook_nor_is_shown_whole(scene: Scene) -> None:
    script = "import sys\nfor n in range(400_000): print('line', n)\nsys.stdout.flush(); sys.exit('the end')"
    error = scene.refusal((*PYTHON, script))
    assert "its output ends: line 399996 | line 399997 | line 399998 | line 399999 | the end;" in error.message
    assert len(error.message) < 1000


def test_a_hook_that_never_stops_writing_does_not_fill_the_disk(scene: Scene) -> None:
    # what the hook is told by its own standard output: how large the file behind it is when it ends
    script = (
        "import os, sys, time\n"
        "for n in range(40): os.write(1, b'x' * (1 << 20)); time.sleep(0.03)\n"
        "time.sleep(0.6)\n"
        "os.write(1, b'\\nsize %d\\n' % os.fstat(1).st_size); sys.exit(1)"
    )
    said = scene.refusal((*PYTHON, script)).message
    size = int(said.partition("| size ")[2].partition(";")[0])
    assert size < 1 << 25


def test_the_last_lines_survive_what_was_thrown_away(scene: Scene) -> None:
    script = "import os, sys, time; os.write(1, b'x' * (1 << 25) + b'\\nlast words\\n'); time.sleep(0.8); sys.exit(1)"
    assert "| last words;" in scene.refusal((*PYTHON, script)).message


def test_output_that_is_no_text_is_shown_printable_and_short(scene: Scene) -> None:
    script = (
        "import os, sys\n"
        "os.write(1, b'caf\\xc3\\xa9 \\xff\\xfe \\x00 ')\n"
        "os.write(1, b'\\x1b[31mred\\x1b[0m\\x07 \\xe2\\x80\\xae tab\\there\\n\\n \\n')\n"
        "os.write(2, b'y' * 5000 + b'\\r\\n100%\\rdone'); sys.exit(1)"
    )
    message = scene.refusal((*PYTHON, script)).message
    assert message.isprintable()
    assert r"café \xff\xfe \x00 \x1b[31mred\x1b[0m\x07 \u202e tab\there | yyy" in message
    assert "y ... | 100% | done" in message
    assert "y" * 301 not in message


def test_a_script_that_opens_its_standard_error_anew_is_still_heard(scene: Scene) -> None:
    line = "echo a first line of some length; echo again >/dev/stderr; echo second; echo third; exit 1"
    assert scene.refusal(shell(line)).message.endswith("ends: again | second | third; nothing was changed")


def test_a_hook_has_empty_input_no_descriptors_of_ours_and_a_session_of_its_own(scene: Scene) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    script = (
        "import os, sys\n"
        "try: os.fstat(int(sys.argv[2])); leaked = True\n"
        "except OSError: leaked = False\n"
        "told = [sys.stdin.read(), leaked, os.getsid(0) == os.getpid()]\n"
        "open(sys.argv[1], 'w').write(repr(told))"
    )
    try:
        scene.run(Hooks(before=(*PYTHON, script, str(scene.log), str(writing))), done)
    finally:
        os.close(reading)
        os.close(writing)
    assert scene.log.read_text() == "['', False, True]"


def test_hooks_run_in_a_thread_too(scene: Scene) -> None:
    from threading import Thread

    thread = Thread(target=scene.run, args=(scene.all_logging(), done))
    thread.start()
    thread.join()
    assert scene.logged() == ["before:", "success:0"]
