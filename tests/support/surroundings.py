"""What a test run needs of the process that it is, however that was started."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import Any


def take_interrupts() -> None:
    """Have interrupts back, which a shell takes from what it starts in the background, and that from its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)


class _PatientSys:
    """``sys`` for the threading module, whose ``settrace`` is tried again while another thread is within its own.

    CPython 3.11 refuses that with a RuntimeError, of which the thread dies before its first line; coverage traces.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    @staticmethod
    def settrace(trace: Any) -> None:
        while True:
            try:
                return sys.settrace(trace)
            except RuntimeError:
                time.sleep(0)


def trace_threads_patiently() -> None:
    threading._sys = _PatientSys()  # type: ignore[attr-defined]
