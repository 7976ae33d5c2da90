"""Tells network file systems, on which neither locks nor rename durability can be counted on."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from aml.errors import FileAccessError

_NETWORK = re.compile(
    r"(nfs\d?|cifs|smb\w*|9p|afs|afpfs|webdav|ceph|glusterfs|lustre|gpfs|beegfs|ocfs2|gfs2|fuse.*|macfuse|osxfuse)"
)
_OCTAL = re.compile(r"\\([0-7]{3})")
_MACOS_MOUNT = re.compile(r"^.* on (?P<point>.*) \((?P<type>[^,)]+)")


def network_file_system(path: Path) -> str | None:
    """The type of the network file system that ``path`` lies on, or None for a local one."""
    kind = _file_system_type(path)
    return kind if kind is not None and _NETWORK.fullmatch(kind) else None


def refuse_network(path: Path, *, allowed: bool) -> None:
    """Raise FileAccessError where what is to be changed lies on a network file system and that is not allowed."""
    kind = None if allowed else network_file_system(path)
    if kind is not None:
        raise FileAccessError(
            f"{path} lies on a network file system ({kind}), where neither locks nor renames can be counted on",
            advice="run AML on the machine that holds the disk, or set store.allow_network_store = true",
        )


def _file_system_type(path: Path) -> str | None:
    real = os.path.realpath(path)
    best, kind = "", None
    for point, found in _mounts():
        if len(point) >= len(best) and (real == point or real.startswith(point.rstrip("/") + "/")):
            best, kind = point, found
    return kind


def _mounts() -> list[tuple[str, str]]:
    """Mount points and their types, in the order of mounting."""
    if sys.platform == "darwin":
        import subprocess

        listed = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False).stdout.splitlines()
        matches = [_MACOS_MOUNT.match(line) for line in listed]
        return [(match["point"], match["type"]) for match in matches if match]
    try:
        table = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    fields = [line.split(" ") for line in table.splitlines()]
    return [(_OCTAL.sub(lambda code: chr(int(code[1], 8)), field[1]), field[2]) for field in fields if len(field) > 2]
