"""The file that keeps alerts: whole or moved aside, never overwritten, and private."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.errors import DamagedError, FileAccessError, SchemaError
from aml.fs.durable import temporary_for
from aml.monitor.alert_file import alert_file, change_alerts, read_alerts
from aml.monitor.alerts import Alerts, take_up
from aml.monitor.findings import Finding, Level
from aml.store.open import Store, open_store
from tests.support.records import NOW
from tests.support.stores import make_store

T = NOW.timestamp()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(make_store(tmp_path, {"alpha": {}}))


def _open_one(known: Alerts) -> tuple[Alerts, None]:
    return take_up(known, [Finding("backup", "", Level.ERROR, "old")], ["backup"], T)[0], None


def _ignore(_: str) -> None: ...


def test_what_is_put_there_is_read_back_and_private(store: Store) -> None:
    assert read_alerts(store) == Alerts()
    after, _ = change_alerts(store, _open_one, now=T, warn=_ignore)
    assert read_alerts(store) == after
    found = alert_file(store).stat()
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_where_nothing_changes_nothing_is_written_and_no_folder_made(store: Store) -> None:
    change_alerts(store, lambda known: (known, None), now=T, warn=_ignore)
    assert not store.state.exists()


def test_what_a_killed_run_left_of_a_write_goes_with_the_next_one(store: Store) -> None:
    change_alerts(store, _open_one, now=T, warn=_ignore)
    left = temporary_for(alert_file(store))
    left.write_bytes(b"{")
    other = temporary_for(store.state / "locks.jsonl")
    other.write_bytes(b"{")
    change_alerts(store, lambda known: (known, None), now=T, warn=_ignore)
    assert left.exists(), "where nothing is written, nobody is kept away from writing"
    change_alerts(store, lambda known: (Alerts(number=known.number), None), now=T, warn=_ignore)
    assert not left.exists()
    assert other.exists(), "whose writers this lock does not keep away"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"format": 1, "alerts": [{}]}',
        b'{"format": 1, "alerts": 7}',
        b'{"format": "1"}',
        b'{"format": 1, "number": 1e400}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": 1, "queue": [{"id": "a", "event": "burnt", "alert": "", "made": "", "body": ""}]}',
    ],
)
def test_a_damaged_file_is_told_and_then_kept_aside(data: bytes, store: Store) -> None:
    store.state.mkdir()
    alert_file(store).write_bytes(data)
    with pytest.raises(DamagedError, match=r"alerts\.json is damaged"):
        read_alerts(store)
    warnings: list[str] = []
    for _ in range(2):
        change_alerts(store, _open_one, now=T, warn=warnings.append)
        alert_file(store).write_bytes(data)
    change_alerts(store, lambda known: (known, None), now=T, warn=warnings.append)
    aside = sorted(path.name for path in store.state.glob("alerts.json.damaged-*"))
    stamp = "alerts.json.damaged-20261120T120000"
    assert aside == [stamp, f"{stamp}-2", f"{stamp}-3"]
    assert all((store.state / name).read_bytes() == data for name in aside)
    assert len(warnings) == 3
    assert all(f"{stamp}" in one for one in warnings)


def test_the_same_alert_or_condition_twice_is_damage(store: Store) -> None:
    after, _ = change_alerts(store, _open_one, now=T, warn=_ignore)
    (one,) = after.alerts
    other = msgspec.structs.replace(one, id="other")
    for alerts in ((one, one), (one, other), (msgspec.structs.replace(one, id=""),)):
        alert_file(store).write_bytes(msgspec.json.encode(msgspec.structs.replace(after, alerts=alerts)))
        with pytest.raises(DamagedError):
            read_alerts(store)


def test_a_newer_format_is_refused_and_left_alone(store: Store) -> None:
    store.state.mkdir()
    data = b'{"format": 2, "alarms": {}}'
    alert_file(store).write_bytes(data)
    with pytest.raises(SchemaError, match="has format 2"):
        read_alerts(store)
    with pytest.raises(SchemaError, match="has format 2"):
        change_alerts(store, _open_one, now=T, warn=_ignore)
    assert alert_file(store).read_bytes() == data


def test_what_is_no_file_is_told_and_never_waited_for(store: Store) -> None:
    store.state.mkdir()
    os.mkfifo(alert_file(store))
    with pytest.raises(FileAccessError):
        read_alerts(store)
    with pytest.raises(FileAccessError):
        change_alerts(store, _open_one, now=T, warn=_ignore)


@given(data=st.binary())
def test_any_bytes_are_alerts_or_damage(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = Store(tmp_path_factory.mktemp("any") / "memory")
    store.state.mkdir()
    alert_file(store).write_bytes(data)
    with suppress(DamagedError, SchemaError):
        assert isinstance(read_alerts(store), Alerts)


@pytest.mark.parametrize("ident", ["x-" + "9" * 5_000 + "-1", "20261120T120000-" + "9" * 30 + "-ab"])
def test_an_id_with_a_number_that_is_none_of_ours_does_not_stop_new_alerts(store: Store, ident: str) -> None:
    change_alerts(store, _open_one, now=T, warn=_ignore)
    data = msgspec.json.decode(alert_file(store).read_bytes())
    data["alerts"][0] |= {"id": ident, "check": "disk_space"}
    alert_file(store).write_bytes(msgspec.json.encode(data))
    after, _ = change_alerts(store, _open_one, now=T, warn=_ignore)
    assert after.alerts[0].id == ident
    assert after.number == 2


@pytest.mark.parametrize("number", ["-1", "1" + "0" * 4_290])
def test_a_number_that_no_alert_can_have_is_damage(store: Store, number: str) -> None:
    store.state.mkdir()
    alert_file(store).write_text(f'{{"format":1,"number":{number}}}', encoding="utf-8")
    with pytest.raises(DamagedError):
        read_alerts(store)
