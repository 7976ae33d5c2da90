"""A backup comes back without AML: by the script and by the recipe of docs/recover.md, however much is damaged."""

from __future__ import annotations

import ast
import gzip
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aml.repository.check import check
from aml.repository.local_folder import LocalFolder
from aml.repository.manifest import FORMAT, FileEntry, FolderEntry, Listing, Scope, Unread, path_fields
from aml.repository.repository import Writer, create, reading, writing
from aml.repository.snapshots import Snapshot
from tests.unit.repository.repositories import HOUR, NOW, back_up, manifest_of, records

PAGE = Path(__file__).parents[2] / "docs" / "recover.md"
ODD = os.fsdecode(b"\xff odd.json")
#: What a path of a tree is: bytes and whether they are packed, or None for a folder; mode, and time in ns.
Node = tuple[tuple[bytes, bool] | None, int, int]
FILES: Mapping[str, bytes] = {
    "alice/patterns.json": records(300),
    "alice/empty.json": b"",
    "alice/notes/ü and\nmore.md": b"# Notes\n",
    f"alice/notes/{ODD}": b"odd",
    "bob/solutions.json": gzip.compress(records(120, seed=2)),
    "bob/random.bin": hashlib.shake_128(b"bob").digest(300_000),
    "Zoë/decisions.json": b"[]",
    "c.json": b"{}",
}
FOLDERS = ("alice/nothing", "bob/deep/deeper", "bob/locked")


def program() -> str:
    """The script, as a reader copies it."""
    (found,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return str(found)


def run_script(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The script with these words, by a Python that has its standard library alone."""
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", program(), *map(str, words)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="backslashreplace", timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def restore_with_script(repository: Path, wanted: str, target: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Restore the backup of that id (or ``latest``) into ``target``, which must not exist yet."""
    return run_script(repository, wanted, target, *words)


def recipes(name: str) -> str:
    """The commands that the page shows under that name, one after the other."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(rf"<!-- recipe: {re.escape(name)} -->\n```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found, f"{PAGE.name} has no recipe {name!r}"
    return "".join(found)


def run_recipe(script: str, folder: Path, *, shell: str = "sh") -> subprocess.CompletedProcess[str]:
    if any(shutil.which(tool) is None for tool in ("jq", "sha256sum")):
        assert not os.environ.get("AML_REQUIRE_JQ"), "jq and sha256sum are required here"
        pytest.skip("jq or sha256sum is not installed")
    environment = os.environ | {"TMPDIR": str(folder.parent)}
    command = [shell, "-euc", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def make_tree(root: Path) -> None:
    """A store with all that is odd about names, forms, modes and times."""
    for path in FOLDERS:
        (root / path).mkdir(parents=True)
    for path, data in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / "bob/locked/in.json").write_bytes(b"[1]")
    (root / "bob/random.bin").chmod(0o640)
    (root / "c.json").chmod(0o444)
    (root / "bob/locked").chmod(0o500)
    (root / "bob").chmod(0o2750)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 1_600_000_000_123_456_789 + number * 10**12))


def look(root: Path) -> dict[str, Node]:
    """Every file and folder of a tree; what is packed, unpacked, since it may be packed in another way."""
    found: dict[str, Node] = {}
    for path in root.rglob("*"):
        about = path.lstat()
        content = None
        if not path.is_dir():
            data = path.read_bytes()
            packed = data[:2] == b"\x1f\x8b"
            content = (gzip.decompress(data) if packed else data, packed)
        found[path.relative_to(root).as_posix()] = (content, about.st_mode & 0o7777, about.st_mtime_ns)
    return found


def stored_file(writer: Writer, root: Path, path: Path) -> FileEntry:
    data, about = path.read_bytes(), path.stat()
    name, name_hex = path_fields(path.relative_to(root).as_posix())
    whole = hashlib.sha256(data).hexdigest()
    mode = about.st_mode & 0o7777
    if data[:2] != b"\x1f\x8b":
        stored = writer.store_document(data)
        return FileEntry(name, len(data), mode, about.st_mtime_ns, whole, stored.chunks, path_hex=name_hex)
    stored = writer.store_document(gzip.decompress(data))
    form = (whole, stored.chunks, "gzip", stored.sha256, stored.size)
    return FileEntry(name, len(data), mode, about.st_mtime_ns, *form, path_hex=name_hex)


def back_up_tree(
    repository: Path,
    root: Path,
    *,
    moment: datetime = NOW,
    agents: tuple[str, ...] | None = None,
    unread: Sequence[str] = (),
) -> Snapshot:
    """Back up a folder, or some agents' part of it: a listing for each, and one for what belongs to none."""
    destination = LocalFolder(repository)
    identity = create(destination, moment).id
    with writing(destination, pack_bytes=50_000) as writer:
        listings = []
        for agent in sorted({path.name if path.is_dir() else "" for path in root.iterdir()}):
            if agents is not None and agent not in agents:
                continue
            paths = sorted([root / agent, *(root / agent).rglob("*")] if agent else root.glob("*.json"))
            folders = []
            for path in paths:
                if path.is_dir():
                    name, name_hex = path_fields(path.relative_to(root).as_posix())
                    about = path.stat()
                    folders.append(FolderEntry(name, about.st_mode & 0o7777, about.st_mtime_ns, name_hex))
            files = [stored_file(writer, root, path) for path in paths if not path.is_dir()]
            listings.append(writer.store_listing(agent or None, Listing(FORMAT, folders, files)))
        manifest = manifest_of(
            identity,
            sequence=writer.snapshots().next_sequence(),
            time=moment,
            listings=listings,
            scope=Scope(agents),
            unread=[Unread(path, "no right") for path in unread],
        )
        return writer.commit(manifest)


def list_of_files(repository: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in repository.rglob("*") if path.is_file()}


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x55
    path.write_bytes(data)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_tree(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def test_the_script_is_python_that_an_old_machine_understands() -> None:
    ast.parse(program(), feature_version=(3, 8))


def test_every_backup_comes_back_as_it_was(store: Path, repository: Path, tmp_path: Path) -> None:
    first, before = back_up_tree(repository, store), look(store)
    (store / "alice/patterns.json").write_bytes(records(310))
    (store / "c.json").unlink()
    second, after = back_up_tree(repository, store, moment=NOW + HOUR), look(store)
    for snapshot, tree in ((first, before), (second, after)):
        done = restore_with_script(repository, snapshot.id, tmp_path / snapshot.id)
        assert (done.returncode, done.stderr) == (0, "")
        assert look(tmp_path / snapshot.id) == tree


def test_only_packs_and_manifests_are_needed_and_nothing_is_changed(
    store: Path, repository: Path, tmp_path: Path
) -> None:
    snapshot = back_up_tree(repository, store)
    shutil.rmtree(repository / "index")
    for name in ("repository.json", "lock"):
        (repository / name).unlink()
    (repository / "archives").mkdir()
    (repository / "packs/readme.gz").write_bytes(b"no pack")
    (repository / "snapshots/.x.json.gz.aml-tmp-00000000").write_bytes(b"half")
    before = list_of_files(repository)
    assert restore_with_script(repository, snapshot.id[:20], tmp_path / "target").returncode == 0
    assert look(tmp_path / "target") == look(store)
    assert run_script(repository).stdout.startswith(snapshot.id)
    assert list_of_files(repository) == before


def test_one_agent_comes_back_alone(store: Path, repository: Path, tmp_path: Path) -> None:
    back_up_tree(repository, store, unread=["alice/x.json"])
    back_up_tree(repository, store, moment=NOW + HOUR)
    for name in ("bob", "Zoë"):
        assert restore_with_script(repository, "latest", tmp_path / name, "--agent", name).returncode == 0
        wanted = {path: node for path, node in look(store).items() if f"{path}/".startswith(f"{name}/")}
        assert look(tmp_path / name) == wanted
    done = restore_with_script(repository, "latest", tmp_path / "target", "--agent", "carol")
    assert done.returncode == 1
    assert "'carol'" in done.stderr
    assert not (tmp_path / "target").exists()


def test_the_list_tells_what_there_is(store: Path, repository: Path) -> None:
    whole = back_up_tree(repository, store)
    part = back_up_tree(repository, store, moment=NOW + HOUR, agents=("Zoë",))
    incomplete = back_up_tree(repository, store, moment=NOW - HOUR, unread=["alice/x"])
    done = run_script(repository)
    assert done.returncode == 0
    assert [line.split() for line in done.stdout.splitlines()] == [
        [whole.id, "2026-11-21", "03:13:32", "UTC", str(len(FILES) + 1), "files", "complete"],
        [part.id, "2026-11-21", "04:13:32", "UTC", "1", "files", "complete", "only", "agents", "['Zo\\xeb']"],
        [incomplete.id, "2026-11-21", "02:13:32", "UTC", str(len(FILES) + 1), "files", "incomplete"],
    ]


def test_the_latest_is_the_complete_one_with_the_highest_sequence(
    store: Path, repository: Path, tmp_path: Path
) -> None:
    back_up_tree(repository, store)
    (store / "c.json").unlink()
    wanted = back_up_tree(repository, store, moment=NOW - HOUR)
    back_up_tree(repository, store, moment=NOW + HOUR, unread=["alice/x"])
    (repository / f"snapshots/{NOW:%Y%m%d}T999999.000000Z-00000000.json.gz").write_bytes(b"damaged")
    done = restore_with_script(repository, "latest", tmp_path / "target")
    assert done.returncode == 0
    assert wanted.id in done.stdout
    assert "T999999.000000Z-00000000.json.gz" in done.stderr
    assert look(tmp_path / "target") == look(store)


def test_what_an_incomplete_backup_never_had_is_named(store: Path, repository: Path, tmp_path: Path) -> None:
    snapshot = back_up_tree(repository, store, unread=["alice/x.json"])
    done = restore_with_script(repository, snapshot.id, tmp_path / "target")
    assert done.returncode == 3
    assert "alice/x.json" in done.stderr
    assert look(tmp_path / "target") == look(store)
    assert restore_with_script(repository, snapshot.id, tmp_path / "bob", "--agent", "bob").returncode == 0


def test_damaged_manifests_hide_no_other(store: Path, repository: Path, tmp_path: Path) -> None:
    snapshots = [back_up_tree(repository, store, moment=NOW + number * HOUR) for number in range(4)]
    paths = [repository / "snapshots" / f"{snapshot.id}.json.gz" for snapshot in snapshots]
    flip(paths[0], 40)
    paths[1].write_bytes(b"")
    paths[2].write_bytes(gzip.compress(gzip.decompress(paths[3].read_bytes())))
    done = run_script(repository)
    assert done.returncode == 3
    assert [line.split()[0] for line in done.stdout.splitlines()] == [snapshots[3].id]
    for snapshot in snapshots[:3]:
        assert snapshot.id in done.stderr
        assert restore_with_script(repository, snapshot.id, tmp_path / "target").returncode == 1
    assert restore_with_script(repository, "latest", tmp_path / "target").returncode == 0
    assert look(tmp_path / "target") == look(store)


def test_a_damaged_pack_costs_the_files_in_it_alone(store: Path, repository: Path, tmp_path: Path) -> None:
    snapshot, before = back_up_tree(repository, store), look(store)
    with reading(LocalFolder(repository)) as reader:
        (reference,) = [one for one in snapshot.manifest.listings if one.agent == "bob"]
        (entry,) = [one for one in reader.read_listing(reference).files if one.path == "bob/random.bin"]
        place = reader.index.places(bytes.fromhex(entry.chunks[2]))[0]
    flip(repository / f"packs/{place.pack[:2]}/{place.pack}.gz", place.member_offset + place.offset + 1000)
    done = restore_with_script(repository, "latest", tmp_path / "target")
    assert done.returncode == 3
    assert "bob/random.bin" in done.stderr
    assert place.pack in done.stderr
    assert len(done.stderr.splitlines()) == 1
    before.pop("bob/random.bin")
    assert look(tmp_path / "target") == before


def test_in_a_damaged_member_the_chunks_before_the_damage_are_still_good(repository: Path, tmp_path: Path) -> None:
    destination = LocalFolder(repository)
    identity = create(destination, NOW).id
    tree = {f"alice/{number:02}.bin": hashlib.shake_128(b"%d" % number).digest(5000) for number in range(20)}
    with writing(destination) as writer:
        entries = [entry_at(writer, path, data) for path, data in tree.items()]
        (name,) = writer.flush()
        place = writer.index.places(bytes.fromhex(entries[12].sha256))[0]
        assert len(writer.index.tables[name].members) == 1
        writer.commit(manifest_of(identity, listings=[writer.store_listing("alice", Listing(FORMAT, [], entries))]))
    flip(repository / f"packs/{name[:2]}/{name}.gz", place.offset + 2500)
    done = restore_with_script(repository, "latest", tmp_path / "target")
    assert done.returncode == 3
    restored = {f"alice/{path.name}": path.read_bytes() for path in (tmp_path / "target/alice").iterdir()}
    assert restored.items() <= tree.items()
    assert set(list(tree)[:12]) <= restored.keys()
    assert tree.keys() - restored.keys() == set(re.findall(r"alice/\d\d\.bin", done.stderr))


def test_a_chunk_comes_from_another_pack_where_the_first_is_damaged(repository: Path, tmp_path: Path) -> None:
    destination = LocalFolder(repository)
    data = records(5)
    back_up(destination, {"alice/patterns.json": data})
    first = set(repository.glob("packs/*/*.gz"))
    with writing(destination) as writer:
        for digest in reversed(list(writer.index)):
            writer.rewrite_chunk(digest, writer.read_chunk(digest))
        writer.flush()
    both = list(repository.glob("packs/*/*.gz"))
    assert len(both) == 2
    for damaged in both:
        whole = damaged.read_bytes()
        flip(damaged, 200)
        target = tmp_path / f"target-{damaged in first}"
        assert restore_with_script(repository, "latest", target).returncode == 0
        assert (target / "alice/patterns.json").read_bytes() == data
        damaged.write_bytes(whole)


def test_a_pack_without_its_table_is_named_and_the_others_are_read(
    store: Path, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "small/zed").mkdir(parents=True)
    (tmp_path / "small/zed/a.json").write_bytes(b"[0]")
    small = back_up_tree(repository, tmp_path / "small")
    kept = set(repository.glob("packs/*/*.gz"))
    back_up_tree(repository, store, moment=NOW + HOUR)
    for pack in set(repository.glob("packs/*/*.gz")) - kept:
        pack.write_bytes(pack.read_bytes()[:-1])
    done = restore_with_script(repository, "latest", tmp_path / "target")
    assert done.returncode == 3
    assert "no pack" in done.stderr
    assert restore_with_script(repository, small.id, tmp_path / "other").returncode == 0
    assert look(tmp_path / "other") == look(tmp_path / "small")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store and its repository with two backups, to be copied."""
    folder = tmp_path_factory.mktemp("prepared")
    make_tree(folder / "store")
    back_up_tree(folder / "repository", folder / "store")
    (folder / "store/c.json").chmod(0o600)
    back_up_tree(folder / "repository", folder / "store", moment=NOW + HOUR)
    return folder


@settings(max_examples=30)
@given(data=st.data())
def test_whatever_is_damaged_what_comes_back_is_right_and_the_rest_is_named(
    prepared: Path, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(shutil.copytree(prepared / "repository", Path(folder, "repository")))
        for _ in range(data.draw(st.integers(1, 4))):
            paths = sorted(path for part in ("packs", "snapshots") for path in (repository / part).rglob("*.gz"))
            path = data.draw(st.sampled_from(paths))
            size = path.stat().st_size
            if size == 0 or data.draw(st.booleans()):
                os.truncate(path, data.draw(st.integers(0, size)))
            else:
                flip(path, data.draw(st.integers(0, size - 1)))
        target = Path(folder, "target")
        done = restore_with_script(repository, "latest", target)
        assert done.returncode in (0, 1, 3)
        if done.returncode == 1:
            assert "no backup" in done.stderr
            assert not target.exists()
            return
        tree, found = look(prepared / "store"), look(target)
        tree["c.json"] = found.get("c.json", tree["c.json"])
        for path, node in found.items():
            # a folder whose own entry was lost is made for what is in it
            assert node == tree[path] or (node[0] is tree[path][0] is None and done.returncode == 3)
        for path in tree.keys() - found.keys():
            owner = path.partition("/")[0] if "/" in path or tree[path][0] is None else None
            whole = f"of agent {owner!r}, whose list is bad" in done.stderr
            assert whole or repr(str(target / path)) in done.stderr.replace("\\\\", "\\") or ODD in path
        assert (done.returncode == 0) == (found.keys() == tree.keys() and "not restored: " not in done.stderr)


def entry_at(writer: Writer, path: str, data: bytes, path_hex: str | None = None) -> FileEntry:
    stored = writer.store_document(data)
    return FileEntry(path, stored.size, 0o600, 0, stored.sha256, stored.chunks, path_hex=path_hex)


def back_up_entries(repository: Path, entries: Sequence[tuple[str, str | None]], folders: Sequence[str] = ()) -> None:
    """A backup with a listing of such paths (and path_hex), and one of an agent that is well."""
    destination = LocalFolder(repository)
    identity = create(destination, NOW).id
    with writing(destination) as writer:
        files = [entry_at(writer, path, b"%d" % number, exact) for number, (path, exact) in enumerate(entries)]
        odd = Listing(FORMAT, [FolderEntry(path, 0o700, 0) for path in folders], files)
        good = Listing(FORMAT, [], [entry_at(writer, "good/x.json", b"good")])
        listings = [writer.store_listing("odd", odd), writer.store_listing("good", good)]
        writer.commit(manifest_of(identity, listings=listings))


@pytest.mark.parametrize(
    "bad", ["../evil", "odd/../../evil", "/evil", "", "odd//x", "./x", "odd/", "o\0d", "..", "hex"]
)
@pytest.mark.parametrize("as_folder", [False, True])
def test_a_listing_with_a_path_that_leads_out_is_refused(
    bad: str, as_folder: bool, repository: Path, tmp_path: Path
) -> None:
    if bad == "hex":
        back_up_entries(repository, [("odd/x", b"../evil".hex())])
    elif as_folder:
        back_up_entries(repository, [("odd/x", None)], folders=[bad])
    else:
        back_up_entries(repository, [("odd/x", None), (bad, None)])
    (tmp_path / "inner").mkdir()
    done = restore_with_script(repository, "latest", tmp_path / "inner/target")
    assert done.returncode == 3
    assert "refused" in done.stderr
    assert [path.name for path in (tmp_path / "inner").rglob("*")] == ["target", "good", "x.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inner", "repository"]


@pytest.mark.parametrize(
    ("paths", "named"), [(["odd/x", "odd/x"], "odd/x"), (["odd/x", "odd/x/y"], "odd/x/y"), (["good/x.json"], "good/x")]
)
def test_no_entry_takes_the_place_of_another(paths: list[str], named: str, repository: Path, tmp_path: Path) -> None:
    back_up_entries(repository, [(path, None) for path in paths])
    done = restore_with_script(repository, "latest", tmp_path / "target")
    assert done.returncode == 3
    assert named in done.stderr
    assert (tmp_path / "target" / paths[0]).read_bytes() == b"0"


def test_a_file_of_data_gets_no_rights_of_its_owner(repository: Path, tmp_path: Path) -> None:
    destination = LocalFolder(repository)
    identity = create(destination, NOW).id
    with writing(destination) as writer:
        stored = writer.store_document(b"#!/bin/sh\n")
        entry = FileEntry("a/x", stored.size, 0o4755, 0, stored.sha256, stored.chunks)
        listing = writer.store_listing("a", Listing(FORMAT, [], [entry]))
        writer.commit(manifest_of(identity, listings=[listing]))
    assert restore_with_script(repository, "latest", tmp_path / "target").returncode == 0
    assert (tmp_path / "target/a/x").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_nothing_that_is_there_is_overwritten(kind: str, store: Path, repository: Path, tmp_path: Path) -> None:
    back_up_tree(repository, store)
    target = tmp_path / "target"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.write_bytes(b"mine")
    else:
        target.symlink_to(tmp_path / "elsewhere")
    done = restore_with_script(repository, "latest", target)
    assert done.returncode == 1
    assert "exists" in done.stderr
    assert not (tmp_path / "elsewhere").exists()
    assert target.is_dir() == (kind == "folder")
    if kind == "folder":
        assert not list(target.iterdir())


def test_what_cannot_be_done_is_said_in_a_line(store: Path, repository: Path, tmp_path: Path) -> None:
    back_up_tree(repository, store)
    back_up_tree(repository, store, moment=NOW + HOUR)
    (tmp_path / "empty/snapshots").mkdir(parents=True)
    for status, words in [
        (1, [tmp_path / "none"]),
        (1, [tmp_path / "empty", "latest", tmp_path / "target"]),
        (1, [repository, "2027", tmp_path / "target"]),
        (1, [repository, "2026", tmp_path / "target"]),
        (1, [repository, "", tmp_path / "target"]),
        (1, [repository, "latest", tmp_path / ("y" * 300)]),
        (2, [repository, "latest"]),
        (2, []),
    ]:
        done = run_script(*words)
        assert done.returncode == status, done.stderr
        assert done.stderr.splitlines()[-1].startswith("restore.py:")
    assert not (tmp_path / "target").exists()


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
