"""What the figures of a run depend on, beside AML: the machine, and the versions of the programs beside it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

GB = 1e9
_PEERS = {"restic": "version", "borg": "--version", "gzip": "--version"}


def machine(scratch: Path) -> dict[str, str]:
    """What a reader should know, in words, by what it is about. It names neither hosts nor paths."""
    return dict(_facts(scratch))


def _facts(scratch: Path) -> Iterator[tuple[str, str]]:
    cores = os.cpu_count()
    yield "processor", f"{cores} cores{''.join(f', {name}' for name in _processor_names())}"
    if hasattr(os, "sysconf"):
        yield "memory", f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / GB:.0f} GB"
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    if kind := _file_system(scratch):
        yield "file system", kind
    yield "Python", platform.python_version()
    for program, word in _PEERS.items():
        if version := _version(program, word):
            yield program, version


def _processor_names() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    return {" ".join(name.split()) for name in re.findall(r"^model name\s*: (.+)$", text, re.MULTILINE)}


def _file_system(place: Path) -> str:
    """The kind of file system that a folder lies on; blank where that cannot be told."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    mounts = {Path(words[1]): words[2] for words in (line.split() for line in lines)}
    return next((mounts[folder] for folder in (place.resolve(), *place.resolve().parents) if folder in mounts), "")


def _version(program: str, word: str) -> str:
    if shutil.which(program) is None:
        return ""
    told = subprocess.run([program, word], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+(\.\d+)+", told)
    return found[0] if found else ""
