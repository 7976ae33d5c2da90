"""What the checks look at: each part is read at most once, and only where a check asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from aml.errors import AmlError
from aml.index.folder import index_folder
from aml.index.statistics import Statistics, read_statistics
from aml.ledger.history import AgentHistory, read_history
from aml.ledger.operations import Operation, last_operations
from aml.ledger.runs import Journal
from aml.monitor.backups import BackupsSeen, look_at_backups
from aml.monitor.reading import JUDGED, FileFacts, read_files
from aml.monitor.survey import Role, StoreFile, Survey, survey_store
from aml.monitor.thresholds import Thresholds
from aml.repository.local_folder import LocalFolder
from aml.repository.snapshots import Snapshots, list_snapshots
from aml.store.layout import is_agent_name
from aml.store.open import Store
from aml.store.sizes import size_of_store

Value = TypeVar("Value")


class _Part(Generic[Value]):
    """An attribute that is worked out when it is first asked for. Where that fails, it fails alike ever after."""

    def __init__(self, read: Callable[[Any], Value]) -> None:
        self._read = read
        self.__doc__ = read.__doc__
        self._name = f"_{read.__name__}"

    @overload
    def __get__(self, instance: None, owner: type) -> _Part[Value]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...

    def __get__(self, instance: object | None, owner: type) -> _Part[Value] | Value:
        if instance is None:
            return self
        known = vars(instance)
        if self._name not in known:
            try:
                known[self._name] = (self._read(instance), None)
            except Exception as error:  # noqa: BLE001  (raised again, here and for each that asks later)
                known[self._name] = (None, error)
        value: Value
        value, failure = known[self._name]
        if failure is not None:
            raise failure
        return value


class Inspection:
    """One look at a store, its state and its backups, at ``now`` (seconds since 1970 UTC).

    ``writes`` is whether AML is meant to write here at all, ``tells_what_came_back`` whether records that were removed
    before are looked for. ``clock_doubt`` tells why now cannot be true and ``unfinished_restore`` what a restore left
    half-done, None where all is well; ``secrets`` are files that only their owner may read.
    """

    def __init__(
        self,
        store: Store,
        destination: LocalFolder,
        now: float,
        thresholds: Thresholds,
        *,
        writes: bool = True,
        tells_what_came_back: bool = True,
        clock_doubt: Callable[[], str | None] = lambda: None,
        unfinished_restore: Callable[[], str | None] = lambda: None,
        secrets: Sequence[Path] = (),
        user_cache: Path | None = None,
    ) -> None:
        self.store = store
        self.destination = destination
        self.now = now
        self.thresholds = thresholds
        self.writes = writes
        self._tells_what_came_back = tells_what_came_back
        self.clock_doubt = clock_doubt
        self.unfinished_restore = unfinished_restore
        self.secrets = secrets
        self.user_cache = user_cache
        self.journal = Journal(store)

    @_Part
    def survey(self) -> Survey:
        """What lies in the store. Raises FileAccessError where it cannot be listed."""
        return survey_store(self.store)

    @_Part
    def files(self) -> tuple[FileFacts, ...]:
        """Every memory file, read and judged."""
        return read_files(self.store, self.survey.of(*JUDGED), self._history_if_readable())

    @property
    def record_files(self) -> tuple[FileFacts, ...]:
        """Those of them that hold an agent's records."""
        return tuple(facts for facts in self.files if facts.file.role is Role.RECORDS)

    @_Part
    def history(self) -> dict[str, AgentHistory]:
        """What earlier runs removed from each agent. Raises DamagedError where the run journal is."""
        return read_history(self.journal, self.now, self.thresholds.loss.window_days)

    def _history_if_readable(self) -> dict[str, AgentHistory]:
        try:
            return self.history if self._tells_what_came_back else {}
        except AmlError:
            return {}

    @_Part
    def snapshots(self) -> Snapshots:
        """The manifests of all backups. Raises FileAccessError where the repository cannot be listed."""
        return list_snapshots(self.destination)

    @_Part
    def backups(self) -> BackupsSeen:
        """What there is of backups. Raises FileAccessError where the repository cannot be listed."""
        return look_at_backups(self.store, self.destination, self.snapshots)

    @_Part
    def operations(self) -> dict[str, Operation]:
        """The last run of each operation that leaves no journal entry."""
        return last_operations(self.store)

    @_Part
    def index_folder(self) -> Path | None:
        """Where the index is, or would be kept; None where there is no place for it."""
        return index_folder(self.store, self.user_cache)

    @_Part
    def statistics(self) -> Statistics:
        """What queries and loaders counted."""
        return Statistics() if self.index_folder is None else read_statistics(self.index_folder)

    @_Part
    def size(self) -> int:
        """Bytes on disk of all that counts as memory."""
        return size_of_store(self.store)

    @_Part
    def memory_files(self) -> list[StoreFile]:
        """What an agent could miss: records and documents."""
        return self.survey.of(*JUDGED)

    @_Part
    def agent_files(self) -> list[StoreFile]:
        """Those of them that belong to an agent: a store just begun has none."""
        return [file for file in self.memory_files if is_agent_name(file.folder)]

    def counted(self) -> tuple[int | None, int | None]:
        """Agents, and records, where a check had to look at them."""
        known = vars(self)
        survey, files = known.get("_survey"), known.get("_files")
        agents = len(survey[0].agents) if survey is not None and survey[1] is None else None
        records = sum(facts.records for facts in self.record_files) if files is not None and files[1] is None else None
        return agents, records
