"""Strategies for whole stores as they are found in the wild, and ways to write, read and change them by hand.

A tree is a dictionary from relative paths, as the system's calls take them, to what is there. Nothing here goes through
the code under test, so a tree read from disk is what that code has to be measured by.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import stat
import string
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.support.records import decision, pattern, solution
from tests.support.stores import encode_array

RECORD_FILES = ("patterns.json", "solutions.json", "decisions.json")
#: Top-level folders that are no agents.
_NO_AGENTS = ("global", "audit", "config", "backup", "backups", "monitoring")

_NS = 1_000_000_000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class File:
    """A regular file: its bytes, permission bits and modification time (ns)."""

    data: bytes
    mode: int
    mtime_ns: int

    def __repr__(self) -> str:
        data = repr(self.data) if len(self.data) <= 80 else f"<{len(self.data)} bytes: {self.data[:60]!r} ...>"
        return f"File({data}, {self.mode:#o}, {self.mtime_ns})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Hypothesis' own account would hold every byte."""
        printer.text(repr(self))


@dataclass(frozen=True)
class Folder:
    """A folder: its permission bits and modification time (ns)."""

    mode: int
    mtime_ns: int


Node = File | Folder
Tree = dict[str, Node]

# what a store may hold besides records, by name: nothing that stands for a lock or an unfinished write
_ODD_NAMES = [
    " ",
    "b c ",
    ".hidden",
    "...",
    "-rf",
    "--store",
    "*?[x] ~",
    "$HOME `id` 'quoted' \"twice\"",
    "back\\slash",
    "new\nline",
    "tab\tbell\x07\x1b[31m\x7f",
    "ünïcode",
    "cafe\u0301",
    "日本語 \U0001f9e0",
    "\u202eright to left\ufeff",
    os.fsdecode(b"\xff"),
    os.fsdecode(b"caf\xe9.json"),
    os.fsdecode(b"\xed\xa0\xbd"),
    "n" * 255,
    "é" * 127,
    "lone.lock.json",
    "patterns.json",
    "patterns.json.gz",
    "metrics.json",
    "global",
    "backup-1",
]
_LETTERS = string.ascii_letters + string.digits + " ._-äß\n\x01\udcff\udc80"

names = st.one_of(
    st.sampled_from(_ODD_NAMES),
    st.text(_LETTERS, min_size=1, max_size=12).filter(
        lambda name: name not in (".", "..") and not name.endswith((".tmp", ".lock"))
    ),
)
agent_names = st.one_of(st.sampled_from(["alpha", "beta", "front end", "gámma"]), names)
#: Where a lock or a temporary file is something else than its name says.
file_names = st.one_of(names, names, st.just("yarn.lock"))
folder_names = st.one_of(names, names, st.just("cache.tmp"))

file_modes = st.sampled_from([0o600, 0o640, 0o644, 0o444, 0o755, 0o400])
folder_modes = st.sampled_from([0o700, 0o755, 0o750, 0o1777, 0o2775])
mtimes = st.one_of(
    st.sampled_from([0, 1, -1, -_NS, -40 * 365 * 86_400 * _NS - 123_456_789, 2_145_916_800 * _NS + 999_999_999]),
    st.integers(1_700_000_000 * _NS, 1_800_000_000 * _NS),
)


def agent_of(path: str, *, is_folder: bool = False) -> str | None:
    """The agent that a path belongs to; a file at the top level is nobody's."""
    top, slash, _ = path.partition("/")
    if not (slash or is_folder) or top in _NO_AGENTS or top.startswith((".", "backup-")):
        return None
    return None if any("\ud800" <= one <= "\udfff" for one in top) else top


def is_store_file(path: str) -> bool:
    """Whether a path is one of those that a backup unpacks."""
    top, _, rest = path.partition("/")
    if top == "global":
        return rest.endswith(".json") and "/" not in rest
    return rest in RECORD_FILES and agent_of(path) is not None


def essence(path: str, data: bytes) -> object:
    """What of a file must come back: the content of a store file that is one sound gzip member, else every byte."""
    if not is_store_file(path) or data[:2] != b"\x1f\x8b":
        return data
    inflater = zlib.decompressobj(31)
    try:
        content = inflater.decompress(data)
        value = json.loads(content.removeprefix(_BYTE_ORDER_MARK))
    except (zlib.error, ValueError):
        return data
    is_whole = inflater.eof and not inflater.unused_data
    return ("gzip", content) if is_whole and (isinstance(value, list) or path.startswith("global/")) else data


# contents

_RECORDS = (
    pattern(id="p1", created_days=300, unused_days=200, success=0.1, confidence=0.1),
    pattern(id="p2", created_days=400, unused_days=300, success=0.4),
    pattern(id="p3", unused_days=3),
    pattern(id="p4", unused_days=None, text="\U0001f9e0 ünïcode\u2028", tags=["keep"], active=True),
    solution(id="s1", created_days=700, worked=False),
    solution(id="s2"),
    decision(id="d1", created_days=500, scores={"maintainability": 0.1}, would_repeat=False),
    decision(id="d2", outcome=None),
    {"no": "id", "depth": [[[[]]]]},
)


@cache
def huge(count: int) -> bytes:
    """An array of so many records, each of its own."""
    return encode_array([pattern(id=f"{number:032x}", confidence=number / count) for number in range(count)])


small_arrays = st.builds(
    encode_array, st.lists(st.sampled_from(_RECORDS), max_size=6), indent=st.sampled_from([2, None])
)
arrays = st.one_of(
    small_arrays,
    small_arrays,
    st.just(b"[]"),
    st.sampled_from([700, 4_000]).map(huge),
    small_arrays.map(lambda text: _BYTE_ORDER_MARK + text),
    st.sampled_from([b'[{"id": "x", "score": NaN}, -Infinity]', b'[{"id": "\\ud83d", "n": 1%s}]' % (b"0" * 400)]),
)
#: What stands where JSON should be.
no_json = st.one_of(
    st.sampled_from(
        [b"", b"\n", b"null", b'{"id": 1}', b'[{"id": 1}', b"[1][2]", b"\x00" * 5_000, b"\x1f\x8b", b"\xff"]
    ),
    st.binary(min_size=1, max_size=40).map(lambda data: b"\x89" + data),
)


def gzipped(content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """One member each, as different programs write it."""
    return st.builds(
        _member,
        content,
        st.integers(0, 9),
        st.sampled_from([b"", b"x.json"]),
    )


def _member(data: bytes, level: int, name: bytes) -> bytes:
    packed = gzip.compress(data, compresslevel=level, mtime=0)
    return packed[:3] + b"\x08" + packed[4:10] + name + b"\0" + packed[10:] if name else packed


@st.composite
def _spoilt(draw: st.DrawFn, packed: st.SearchStrategy[bytes]) -> bytes:
    """gzip that is cut short, has a wrong byte, or is followed by something else."""
    data = draw(packed)
    place = draw(st.integers(2, len(data) - 1))
    return draw(
        st.sampled_from(
            [
                data[:place],
                data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :],
                data + b"garbage",
                data + b"\0",
            ]
        )
    )


contents = st.one_of(
    arrays,
    arrays,
    gzipped(arrays),
    gzipped(arrays),
    st.lists(gzipped(small_arrays), min_size=2, max_size=3).map(b"".join),
    _spoilt(gzipped(small_arrays)),
    gzipped(no_json),
    no_json,
)


@st.composite
def _files(draw: st.DrawFn) -> File:
    # no st.builds, whose account of a failure would repeat every record
    return File(draw(contents), draw(file_modes), draw(mtimes))


files = _files()
folders = st.builds(Folder, folder_modes, mtimes)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """A store: agents with some of their files, documents, and anything else at any depth."""
    tree: Tree = {}
    for agent in draw(st.lists(agent_names, unique=True, max_size=3)):
        for name in sorted(draw(st.sets(st.sampled_from([*RECORD_FILES, "context.json"])))):
            _insert(draw, tree, f"{agent}/{name}", draw(files))
    for name in draw(st.lists(st.sampled_from(["cross-agent.json", "x.json", "notes.md"]), unique=True, max_size=2)):
        _insert(draw, tree, f"global/{name}", draw(files))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.sampled_from(["", *(path for path, node in tree.items() if isinstance(node, Folder))]))
        levels = draw(st.one_of(st.lists(folder_names, max_size=3), st.just(["deep"] * 60)))
        node = draw(st.one_of(files, folders))
        name = draw(file_names if isinstance(node, File) else folder_names)
        _insert(draw, tree, "/".join([*([place] if place else []), *levels, name]), node)
    return tree


def _insert(draw: st.DrawFn, tree: Tree, path: str, node: Node) -> None:
    """Put a node into a tree, with the folders above it, unless something is in the way."""
    above = parents(path)
    if path not in tree and not any(isinstance(tree.get(one), File) for one in above):
        for one in reversed(above):
            if one not in tree:
                tree[one] = draw(folders)
        tree[path] = node


def parents(path: str) -> list[str]:
    """The folders above a path, the nearest first."""
    found = []
    while "/" in path:
        path = path.rpartition("/")[0]
        found.append(path)
    return found


# trees on disk


def write_tree(root: Path, tree: Tree) -> None:
    """Write a tree below a folder in which nothing of it is yet."""
    for path, node in sorted(tree.items()):
        if isinstance(node, Folder):
            (root / path).mkdir()
        else:
            (root / path).write_bytes(node.data)
    set_modes(root, tree)


def set_modes(root: Path, tree: Tree) -> None:
    """Give everything of a tree its mode and time, what is deepest first."""
    for path, node in sorted(tree.items(), reverse=True):
        (root / path).chmod(node.mode)
        os.utime(root / path, ns=(node.mtime_ns, node.mtime_ns))


def read_tree(root: Path) -> Tree:
    """What is below a folder; fails for anything but files and folders."""
    found: Tree = {}
    below = [root]
    while below:
        for path in below.pop().iterdir():
            status = path.lstat()
            mode, relative = stat.S_IMODE(status.st_mode), str(path.relative_to(root))
            if stat.S_ISDIR(status.st_mode):
                found[relative] = Folder(mode, status.st_mtime_ns)
                below.append(path)
            else:
                assert stat.S_ISREG(status.st_mode), f"{path} is neither a file nor a folder"
                found[relative] = File(path.read_bytes(), mode, status.st_mtime_ns)
    return found


def facts(tree: Tree, *, timeless: Iterable[str] = ()) -> dict[str, tuple[object, ...]]:
    """A tree in a form in which two that must be alike are equal; the times of ``timeless`` paths do not count."""
    free = set(timeless)
    return {
        path: (
            "folder" if isinstance(node, Folder) else essence(path, node.data),
            oct(node.mode),
            None if path in free else node.mtime_ns,
        )
        for path, node in tree.items()
    }


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def put(root: Path, path: str, node: Node) -> None:
    """Put a node at a path, in place of whatever is there or in its way."""
    for above in reversed(parents(path)):
        if not (root / above).is_dir():
            if (root / above).exists():
                (root / above).unlink()
            (root / above).mkdir()
    target = root / path
    if target.exists():
        remove(target)
    if isinstance(node, Folder):
        target.mkdir()
    else:
        target.write_bytes(node.data)
    set_modes(root, {path: node})


# changes by hand


@dataclass(frozen=True)
class Edit:
    """A change to whatever tree there is: ``number`` chooses the path, by its place in the sorted tree.

    Something ``new`` comes, or a path is ``gone``, holds something ``other`` of its kind or of the other kind
    (``swap``), or gets other ``modes``.
    """

    what: str
    number: int
    top: str
    name: str
    file: File
    folder: Folder


edits = st.builds(
    Edit,
    st.sampled_from(["new", "new", "gone", "other", "swap", "modes"]),
    st.integers(0, 1 << 16),
    st.one_of(agent_names, st.just("global")),
    st.one_of(st.sampled_from(RECORD_FILES), names),
    files,
    folders,
)


def apply(root: Path, edit: Edit) -> None:
    """Make a change on disk."""
    tree = read_tree(root)
    if edit.what == "new" or not tree:
        inside = ["", *sorted(path for path, node in tree.items() if isinstance(node, Folder))]
        place = inside[edit.number % len(inside)] or edit.top
        put(root, f"{place}/{edit.name}", edit.file if edit.number % 3 else edit.folder)
        return
    path = sorted(tree)[edit.number % len(tree)]
    is_file = isinstance(tree[path], File)
    if edit.what == "gone":
        remove(root / path)
    elif edit.what == "modes":
        set_modes(root, {path: edit.file if is_file else edit.folder})
    else:
        # a name that stands for a lock or an unfinished write on a file may be a folder's, and the other way round
        swaps = edit.what == "swap" and not path.endswith((".lock", ".tmp"))
        put(root, path, edit.file if is_file is not swaps else edit.folder)
