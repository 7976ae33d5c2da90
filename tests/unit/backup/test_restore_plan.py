"""The plan of a restore, carried out on a model: what is selected becomes what was wanted, all else stays as it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.backup.restore_plan import RestorePlan, Steps, plan_restore, refuse_collisions
from aml.backup.scan import Tree
from aml.backup.trees import Selection
from aml.errors import UsageError
from aml.repository.manifest import FileEntry, FolderEntry

#: What lies in a store by path: a file or a folder, or else the word for what AML cannot or will not touch.
Model = dict[str, Any]

LINK, UNREAD = "link", "unread"
EVERYTHING = Selection()


def file(path: str, content: int = 0, *, mode: int = 0o600, mtime_ns: int = 0) -> FileEntry:
    return FileEntry(path, 2, mode, mtime_ns, f"{content:064x}", [])


def folder(path: str, *, mode: int = 0o700, mtime_ns: int = 0) -> FolderEntry:
    return FolderEntry(path, mode, mtime_ns)


def above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def model(*nodes: FileEntry | FolderEntry, **others: str) -> Model:
    """Nodes by path with the folders above them; ``others`` are links and what is unread at the top."""
    found: Model = {}
    for node in nodes:
        found |= {path: folder(path) for path in above(node.path) if path not in found}
        found[node.path] = node
    return found | others


def tree(nodes: Model) -> Tree:
    return Tree(
        {path: node for path, node in nodes.items() if isinstance(node, FolderEntry)},
        {path: node for path, node in nodes.items() if isinstance(node, FileEntry)},
        {path: "no right" for path, node in nodes.items() if node == UNREAD},
        frozenset(path for path, node in nodes.items() if node == LINK),
    )


def seen(now: Model, wanted: Model, selection: Selection) -> Tree:
    """What a look at the store within a selection tells: also what stands where folders of the backup have to be."""
    whole = tree(now)
    ours = {path for path in now if selection.agents is None or path.split("/")[0] in selection.agents}
    stands = {path for path, node in now.items() if not isinstance(node, FolderEntry) and path in tree(wanted).folders}
    files = {path: one for path, one in whole.files.items() if selection.has(path)}
    return Tree(
        {path: one for path, one in whole.folders.items() if selection.needs(path)},
        files,
        {path: reason for path, reason in whole.unread.items() if path in ours},
        (whole.skipped & ours) | (stands - files.keys()),
    )


def held(wanted: Model, selection: Selection) -> Model:
    """What of a backup is selected, as it is loaded."""
    return {
        path: node
        for path, node in wanted.items()
        if node == UNREAD or (selection.needs(path) if isinstance(node, FolderEntry) else selection.has(path))
    }


def carry_out(now: Model, steps: Steps) -> Model:
    """Every step on a model; fails where a step would not find what it needs."""
    result = dict(now)

    def holds(path: str) -> bool:
        return any(one.startswith(f"{path}/") for one in result)

    def is_reachable(path: str) -> bool:
        return all(isinstance(result.get(one), FolderEntry) for one in above(path))

    for removal in steps.removals:
        assert result.pop(removal.path) == removal.before
    for one in steps.emptied:
        assert isinstance(result[one.path], FolderEntry)
        assert not holds(one.path)
        del result[one.path]
    for one in steps.made:
        assert one.path not in result
        assert is_reachable(one.path)
        result[one.path] = one
    for put in steps.puts:
        assert result.get(put.path) == put.before
        assert is_reachable(put.path)
        result[put.path] = put.entry
    for put in steps.settings:
        assert result[put.path] == put.before
        assert put.before is not None
        assert put.before.sha256 == put.entry.sha256
        result[put.path] = put.entry
    for one in steps.folders:
        assert isinstance(result[one.path], FolderEntry)
        assert is_reachable(one.path)
        result[one.path] = one
    return result


def expected(now: Model, wanted: Model, selection: Selection, *, keep_extra: bool) -> Model:
    """What must be there afterwards, told path by path."""
    view, backup = seen(now, wanted, selection), tree(wanted)

    def is_frozen(path: str) -> bool:
        return any(one in view.unread or one in view.skipped for one in (path, *above(path)))

    def is_selected(path: str) -> bool:
        return path in view.files or (path in view.folders and selection.has(path, is_folder=True))

    stays = {path for path in now if keep_extra or is_frozen(path) or not is_selected(path) or not backup.covers(path)}
    stays |= {one for path in stays for one in above(path) if one in now}
    result: Model = {path: node for path, node in now.items() if path in stays}
    for path, node in sorted(wanted.items()):
        there = result.get(path)
        if node == UNREAD or is_frozen(path) or any(isinstance(result.get(one), FileEntry) for one in above(path)):
            continue
        if there is None or (
            type(there) is type(node) and selection.has(path, is_folder=isinstance(node, FolderEntry))
        ):
            result[path] = node
    return result


names = st.sampled_from(["a", "b", "a b", "c"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
#: Kind, content, mode and time of a node, each chosen from few, so that two models often agree.
makings = st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 1), st.integers(0, 1))
selections = st.builds(
    Selection,
    st.sampled_from([None, None, frozenset(["a"]), frozenset(["a", "b"])]),
    st.one_of(st.just(()), st.lists(paths, min_size=1, max_size=2, unique=True).map(tuple)),
)


@st.composite
def models(draw: st.DrawFn, *others: str) -> Model:
    """Folders and files in each other, and here and there one of ``others``, in which nothing is."""
    result: Model = {}
    for path, (kind, content, mode, time) in draw(st.lists(st.tuples(paths, makings), max_size=8)):
        if path in result or any(not isinstance(result.get(one, folder(one)), FolderEntry) for one in above(path)):
            continue
        for one in above(path):
            result.setdefault(one, folder(one, mode=0o700 + mode, mtime_ns=time))
        if kind < len(others):
            result[path] = others[kind]
        elif kind < 4:
            result[path] = folder(path, mode=0o700 + mode, mtime_ns=time)
        else:
            result[path] = file(path, content, mode=0o600 + mode, mtime_ns=time)
    return result


def _plan(now: Model, wanted: Model, selection: Selection = EVERYTHING, *, keep_extra: bool = False) -> RestorePlan:
    chosen = held(wanted, selection)
    return plan_restore(seen(now, chosen, selection), tree(chosen), selection, keep_extra=keep_extra)


@given(models(LINK, UNREAD), models(UNREAD), selections, st.booleans())
def test_the_steps_make_what_is_wanted_and_leave_everything_else(
    now: Model, wanted: Model, selection: Selection, keep_extra: bool
) -> None:
    plan = _plan(now, wanted, selection, keep_extra=keep_extra)
    assert carry_out(now, plan.steps) == expected(now, held(wanted, selection), selection, keep_extra=keep_extra)


@given(models(LINK, UNREAD), models(UNREAD), selections, st.booleans())
def test_every_file_that_does_not_become_what_the_backup_holds_is_told(
    now: Model, wanted: Model, selection: Selection, keep_extra: bool
) -> None:
    chosen = held(wanted, selection)
    plan = _plan(now, wanted, selection, keep_extra=keep_extra)
    after = carry_out(now, plan.steps)
    failed = {path for path, node in chosen.items() if isinstance(node, FileEntry) and after.get(path) != node}
    unknown = {path for path in seen(now, chosen, selection).files if not tree(chosen).covers(path)}
    assert {one.path for one in plan.left} == failed | unknown
    assert all(one.reason for one in plan.left)
    assert not {one.path for one in plan.left} & {change.path for change in plan.changes}


@given(models(LINK, UNREAD), models(UNREAD), selections, st.booleans())
def test_a_second_restore_has_nothing_left_to_do(
    now: Model, wanted: Model, selection: Selection, keep_extra: bool
) -> None:
    after = carry_out(now, _plan(now, wanted, selection, keep_extra=keep_extra).steps)
    again = _plan(after, wanted, selection, keep_extra=keep_extra)
    assert again.steps.number == 0
    assert carry_out(after, again.steps) == after


@given(models(), models())
def test_where_everything_can_be_read_the_restore_is_exact(now: Model, wanted: Model) -> None:
    plan = _plan(now, wanted)
    assert carry_out(now, plan.steps) == wanted
    assert plan.left == ()


@given(models(LINK, UNREAD), models(UNREAD), selections)
def test_with_keep_extra_nothing_is_removed(now: Model, wanted: Model, selection: Selection) -> None:
    steps = _plan(now, wanted, selection, keep_extra=True).steps
    assert (steps.removals, steps.emptied) == ((), ())


def _left(plan: RestorePlan) -> dict[str, str]:
    return {one.path: one.reason for one in plan.left}


def _names(steps: Iterable[Any]) -> list[str]:
    return [one.path for one in steps]


def test_files_go_before_folders_and_folders_come_before_files() -> None:
    now = model(file("a/x/y"), file("b", 1))
    wanted = model(file("a", 2), file("b/c/d", 3))
    steps = _plan(now, wanted).steps
    assert _names(steps.removals) == ["a/x/y", "b"]
    assert _names(steps.emptied) == ["a/x", "a"]
    assert _names(steps.made) == ["b", "b/c"]
    assert _names(steps.puts) == ["a", "b/c/d"]


def test_the_same_content_with_another_mode_or_time_is_only_set() -> None:
    now = model(file("a/x", 1), file("a/y", 1), file("a/z", 1))
    wanted = model(file("a/x", 1, mode=0o640), file("a/y", 1, mtime_ns=-1), file("a/z", 1))
    plan = _plan(now, wanted)
    assert (_names(plan.steps.settings), plan.steps.puts) == (["a/x", "a/y"], ())
    assert {change.what for change in plan.changes} == {"same"}


def test_behind_a_link_nothing_is_made_put_or_set() -> None:
    wanted = model(file("a/x/y", 1), folder("a/z", mode=0o755), file("b/x", 1))
    plan = _plan(model(file("b/x"), a=LINK), wanted)
    assert list(_left(plan)) == ["a/x/y"]
    assert "a is in the way" in _left(plan)["a/x/y"]
    touched = [*plan.steps.made, *plan.steps.puts, *plan.steps.settings, *plan.steps.folders]
    assert _names(touched) == ["b/x", "b"]


def test_what_cannot_be_read_now_is_left_with_all_below_it() -> None:
    plan = _plan(model(a=UNREAD), model(file("a/x", 1)))
    assert "no backup could bring it back" in _left(plan)["a/x"]
    assert plan.steps == Steps((), (), (), (), (), (), ())


def test_what_the_backup_could_not_read_is_left() -> None:
    plan = _plan(model(file("a/x/y"), file("a/z")), model(folder("a")) | {"a/x": UNREAD})
    assert _left(plan) == {"a/x/y": "the backup could not read it"}
    assert (_names(plan.steps.removals), plan.steps.emptied) == (["a/z"], ())


def test_a_folder_that_holds_a_link_stays_where_a_file_was() -> None:
    now = model(file("a/x/y")) | {"a/x/link": LINK}
    plan = _plan(now, model(file("a/x", 1)))
    assert _left(plan) == {"a/x": "a folder that has to stay is in its place"}
    assert (_names(plan.steps.removals), plan.steps.emptied) == (["a/x/y"], ())


def test_with_keep_extra_a_file_stays_where_a_folder_was_and_a_folder_where_a_file_was() -> None:
    plan = _plan(model(file("a"), file("b/x")), model(file("a/x/y", 1), file("b", 1)), keep_extra=True)
    assert _left(plan) == {
        "a/x/y": "a file stands where its folder should be",
        "b": "a folder that has to stay is in its place",
    }
    assert plan.steps.number == 0


def test_a_file_outside_the_selection_stands_in_the_way_and_stays() -> None:
    plan = _plan(model(file("a/x")), model(file("a/x/y", 1)), Selection(paths=("a/x/y",)))
    assert list(_left(plan)) == ["a/x/y"]
    assert plan.steps.number == 0


def test_folders_above_a_selected_path_are_made_but_not_changed() -> None:
    wanted = model(folder("a", mode=0o755), file("a/b/x", 1), file("a/y", 1))
    there = _plan(model(folder("a")), wanted, Selection(paths=("a/b",))).steps
    assert (_names(there.made), _names(there.puts), _names(there.folders)) == (["a/b"], ["a/b/x"], ["a/b"])
    gone = _plan({}, wanted, Selection(paths=("a/b/x",))).steps
    assert (_names(gone.made), _names(gone.puts), _names(gone.folders)) == (["a", "a/b"], ["a/b/x"], [])


def test_another_agent_is_never_touched() -> None:
    now = model(file("a/x"), file("b/x"), file("loose"))
    plan = _plan(now, model(file("b/y", 1), file("a/y", 1)), Selection(frozenset(["a"])))
    assert [change.path for change in plan.changes] == ["a/x", "a/y"]


@pytest.mark.parametrize(
    ("one", "other"), [("a/X.json", "a/x.json"), ("A/x", "a/x"), ("caf\u00e9", "cafe\u0301"), ("ß", "SS")]
)
def test_names_that_fold_into_one_are_refused(one: str, other: str) -> None:
    with pytest.raises(UsageError, match="would be one file"):
        refuse_collisions(tree({one: file(one), other: file(other)}))


def test_names_that_differ_in_more_than_their_case_are_not_refused() -> None:
    refuse_collisions(tree(model(file("a/x"), file("a/y"), file("b/x"))))
