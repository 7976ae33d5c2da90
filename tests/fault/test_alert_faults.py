"""Alerts meet a fault at every call that changes a file: the file is whole, no alert is lost, every message arrives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aml.monitor.alert_file import read_alerts
from aml.monitor.findings import Finding, Level
from aml.store.open import Store, open_store
from aml.workflows.alerts import take_up
from tests.fault.children import Children, Point, points_of
from tests.fault.inject import Fault
from tests.fault.points import POINTS, few, share
from tests.fault.runner import STATE, STORE
from tests.support.receiver import SECRET, Receiver, receiving
from tests.support.records import NOW, pattern
from tests.support.stores import tree_digest, write_array

#: So many points are tried by default; by the test marked slow one in so many, and each fault at each kind of call.
FEW, ONE_IN = 14, 6
_RESOLVE = ("monitor", "alerts", "resolve")
_ACKNOWLEDGE = ("monitor", "alerts", "ack", "--note", "seen")
_WORDS = pytest.mark.parametrize("words", [_RESOLVE, _ACKNOWLEDGE], ids=["resolve", "ack"])


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving(200) as one:
        yield one


def _project(folder: Path, url: str) -> str:
    """A project with two alerts; the id of the one that is to be worked on."""
    write_array(folder / STORE / "alpha" / "patterns.json", [pattern(id="a")])
    (folder / ".loom" / "aml.toml").write_text(
        f'[webhook]\nurl = "{url}"\nsecret_file = "webhook.secret"\nretries = 0\n', encoding="utf-8"
    )
    secret = folder / ".loom" / "webhook.secret"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(0o600)
    found = [Finding("backup", "", Level.ERROR, "old"), Finding("caps", "alpha", Level.WARNING, "many")]
    return take_up(open_store(folder / STORE), found, ["backup", "caps"], now=NOW.timestamp() - 3600).opened[0].id


def _wrong(folder: Path, words: tuple[str, ...], point: Point, children: Children, receiver: Receiver) -> list[str]:
    """What is wrong after a run of ``words`` met the fault, and after the run that followed it."""
    store = Store((folder / STORE).resolve())
    before, ids = tree_digest(folder / STORE), [one.id for one in read_alerts(store).alerts]
    receiver.got.clear()
    ended = children.run(folder, words, NOW.timestamp(), fault=point.fault, at=point.at)
    problems = [ended.err.strip().splitlines()[-1]] if "Traceback" in ended.err else []
    kept = read_alerts(store)
    if [one.id for one in kept.alerts] != ids:
        problems.append(f"alerts are lost: {kept}")
    later = children.run(folder, words, NOW.timestamp() + 60)
    if later.exit:
        problems.append(f"the next run: exit {later.exit}: {later.err}")
    kept = read_alerts(store)
    (alert,) = [one for one in kept.alerts if one.id == words[-1]]
    done = alert.resolved is not None if words[:3] == _RESOLVE else alert.acknowledged is not None
    if not done or kept.queue:
        problems.append(f"not done in the end: {kept}")
    wanted = int(words[:3] == _RESOLVE)
    deliveries = {one.headers["x-aml-delivery"] for one in receiver.got}
    if len(deliveries) != wanted or len(receiver.got) > 2 or not all(one.is_genuine() for one in receiver.got):
        problems.append(f"the receiver got {receiver.told}")
    if tree_digest(folder / STORE) != before:
        problems.append("the store has changed")
    if odd := [path.name for path in (folder / STATE).iterdir() if "damaged" in path.name]:
        problems.append(f"moved aside: {odd}")
    return [f"{point}: {problem}" for problem in problems]


@_WORDS
def test_after_a_fault_no_alert_is_lost_and_every_message_arrives(
    words: tuple[str, ...],
    children: Children,
    receiver: Receiver,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    _try(words, children, receiver, tmp_path, record_property, lambda points: few(points, FEW))


@pytest.mark.slow
@_WORDS
def test_after_each_kind_of_fault_no_alert_is_lost_and_every_message_arrives(
    words: tuple[str, ...],
    children: Children,
    receiver: Receiver,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    _try(words, children, receiver, tmp_path, record_property, lambda points: share(points, ONE_IN))


def all_points(words: tuple[str, ...], children: Children, tmp_path: Path) -> list[Point]:
    """Every fault at every call of a run without one."""
    with receiving(200) as one:
        return _points_on(tmp_path / "whole", (*words, _project(tmp_path / "whole", one.url)), children, tmp_path)


def _points_on(whole: Path, words: tuple[str, ...], children: Children, tmp_path: Path) -> list[Point]:
    counted, listing = shutil.copytree(whole, tmp_path / "counted"), tmp_path / "calls.json"
    assert children.run(counted, words, NOW.timestamp(), calls=str(listing)).exit == 0
    calls = [(name, path) for name, path in json.loads(listing.read_text(encoding="utf-8"))]
    return points_of(calls, tuple(Fault))


def _try(
    words: tuple[str, ...],
    children: Children,
    receiver: Receiver,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    choose: Callable[[list[Point]], list[Point]],
) -> None:
    whole = tmp_path / "whole"
    words = (*words, _project(whole, receiver.url))
    points = choose(_points_on(whole, words, children, tmp_path))
    record_property(POINTS, (" ".join(words[:3]), len(points)))
    problems = []
    for number, point in enumerate(points):
        folder = Path(shutil.copytree(whole, tmp_path / f"p{number}"))
        problems += _wrong(folder, words, point, children, receiver)
        shutil.rmtree(folder)
    assert not problems, "\n".join(problems)
