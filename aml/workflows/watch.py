"""A store looked at again and again. Nothing is ever written."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from aml.config import Settings
from aml.errors import FileAccessError, StoreNotFoundError
from aml.fs.run_lock import Holder, current_holder
from aml.index.folder import index_folder
from aml.index.index import Index
from aml.ledger.latest import LastRun
from aml.ledger.state import run_lock_path
from aml.monitor.health import HealthReport
from aml.monitor.report.data import ReportData
from aml.store.open import Store
from aml.workflows.conditions import Conditions
from aml.workflows.report import make_report

#: The checks read every file: they are made so often (seconds), however often figures are wanted.
_HEALTH_SECONDS = 30.0


class Look(Struct, frozen=True):
    """What a store is like, and who is changing it now."""

    data: ReportData
    holder: Holder | None


class Watch:
    """Looks at one store. What is in its index is kept between the looks, so that each reads only what changed."""

    def __init__(
        self, store: Store, conditions: Conditions, settings: Settings, *, user_cache: Path | None = None
    ) -> None:
        self._store = store
        self._conditions = conditions
        self._settings = settings
        self._user_cache = user_cache
        self._index = Index(store, index_folder(store, user_cache), keep=False)
        self._health: HealthReport | None = None
        self._checked = 0.0
        self._runs: tuple[LastRun, ...] = ()

    def look(self, now: float) -> Look:
        """The store as it is ``now`` (seconds since 1970 UTC). Raises StoreNotFoundError where it has gone since, and
        AmlError where it cannot be listed."""
        try:
            return self._look(now)
        except FileAccessError as error:
            if os.path.isdir(self._store.root):
                raise
            what = f"the store {self._store.root} has gone while it was watched"
            raise StoreNotFoundError(what, advice="was it moved? aml backup restore brings back a lost one") from error

    def _look(self, now: float) -> Look:
        if not 0 <= now - self._checked < _HEALTH_SECONDS:
            self._health = None
        if self._health is None:
            self._checked = now
        data = make_report(
            self._store,
            now=now,
            conditions=self._conditions,
            settings=self._settings,
            record=False,
            user_cache=self._user_cache,
            health=self._health,
            index=self._index,
        )
        self._health = data.health
        if data.metrics.operations != self._runs:
            # a run that ended may have mended what was found
            self._runs, self._health = data.metrics.operations, None if self._runs else self._health
        return Look(data, current_holder(run_lock_path(self._store)))

    def close(self) -> None:
        self._index.close()
