"""A backup comes back without AML: by the script and by the recipe of docs/recover.md, however much is damaged."""

from __future__ import annotations

import ast
import gzip
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aml.repository.local_folder import LocalFolder
from aml.repository.manifest import FORMAT, FileEntry, Listing
from aml.repository.repository import create, reading, writing
from tests.contract.recovering import (
    FILES,
    ODD,
    back_up_entries,
    back_up_tree,
    entry_at,
    flip,
    list_of_files,
    look,
    make_tree,
    program,
    restore_with_script,
    run_script,
)
from tests.unit.repository.repositories import HOUR, NOW, back_up, manifest_of, records


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
