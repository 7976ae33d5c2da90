"""The warm process behind ``children.Children``: runs AML command lines, most of them in forked children, with faults.

python tests/fault/serve.py        (answers requests on standard input, see ``serve``)
"""

from __future__ import annotations

import gc
import io
import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])

from tests.fault.inject import Fault, Injector, run_injected, set_clock
from tests.support.disk import never_wait_for_the_disk


def serve() -> None:
    """Answer requests, one JSON object a line, each by a forked child that finds everything imported already.

    A request: {words, folder, now, out, err, limit, fault?, at?, only?, calls?, file_size?}; ``folder`` is the project,
    which becomes the working folder; ``out``, ``err`` and ``calls`` are files to write; ``limit`` is in seconds, and no
    file may grow beyond ``file_size`` bytes, though what it says must fit in there too. The answer:
    {exit, seconds}, where a negative exit is the signal that ended the child. With ``unforked``, this very process
    runs the command line, several times as fast: for what only looks at or undoes what others have done.
    """
    _import_everything()
    never_wait_for_the_disk()
    gc.freeze()  # so that no child walks, and thereby copies, what they all share
    for line in sys.stdin:
        request = json.loads(line)
        began = time.monotonic()
        ended = _run_unforked(request) if request.get("unforked") else _run_forked(request)
        sys.stdout.write(json.dumps({"exit": ended, "seconds": time.monotonic() - began}) + "\n")
        sys.stdout.flush()


def _run_forked(request: dict[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        _serve_one(request)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run_unforked(request: dict[str, Any]) -> int:
    from aml.cli.invocation import Streams
    from aml.cli.main import run

    out, err, clocks = io.StringIO(), io.StringIO(), (time.time, time.time_ns)
    streams, folder = Streams(out, err, io.StringIO()), Path(request["folder"])
    signal.alarm(request["limit"])
    set_clock(request["now"])
    try:
        status = run(request["words"], streams=streams, environment=os.environ, clock=time.time, folder=folder)
    except BaseException:  # noqa: BLE001  (as in a child)
        err.write(traceback.format_exc())
        status = 70
    time.time, time.time_ns = clocks
    signal.alarm(0)
    for name, said in (("out", out), ("err", err)):
        Path(request[name]).write_text(said.getvalue(), encoding="utf-8", errors="backslashreplace")
    return status


def _import_everything() -> None:
    import importlib
    import pkgutil

    import aml

    for module in pkgutil.walk_packages(aml.__path__, "aml."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    # what is imported or built only where it is needed
    from aml.cli import groups
    from aml.codec.compression import pack, unpack

    parts = (*groups.PARTS_OF_OPTIMIZE.items(), *groups.PARTS_OF_MONITOR.items())
    for name, (module, _) in (*groups.COMMANDS.items(), *parts):
        groups._load(name, module)
    unpack(pack(b"[]"), max_bytes=2)


def _serve_one(request: dict[str, Any]) -> None:
    """The child: never returns."""
    status = 70
    try:
        signal.alarm(request["limit"])
        for number, path, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, request["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            (2, request["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        ):
            os.dup2(os.open(path, flags, 0o600), number)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        os.chdir(request["folder"])
        if "file_size" in request:
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"],) * 2)
        fault = Fault(request["fault"]) if request.get("fault") else None
        injector = Injector(Path(request["folder"]), fault, request.get("at", 0), request.get("only", ""))
        status = run_injected(injector, request["words"], request["now"], request.get("calls"))
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001  (whatever got out is what the test wants to see)
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


if __name__ == "__main__":
    serve()
