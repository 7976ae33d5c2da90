"""How the C library hands out memory."""

from __future__ import annotations

from contextlib import suppress

#: The name of that parameter in <malloc.h> of glibc.
_M_ARENA_MAX = -8


def share_one_arena() -> None:
    """Have the threads of this process share one arena from now on, to be called before there are any.

    glibc gives each thread an arena of its own, where what the thread has freed stays: other threads allocate anew.
    That concerns all of a process, so it is for those alone that are AML's own. Other C libraries know of no arenas.
    """
    import ctypes  # only commands that work on many records need it

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
