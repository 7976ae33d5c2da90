"""What a user can ask of a migration."""

from __future__ import annotations

from msgspec import Struct

from aml.migrate.registry import VERSIONS, Direction
from aml.model.schema import READABLE, UNREADABLE
from aml.store.layout import choose

#: How the journal calls such runs.
OPERATION = "migrate"


class MigrateOptions(Struct, frozen=True):
    """``up`` raises every record below ``target`` to it, ``down`` lowers every one above; the others stay as they are.

    ``agents`` empty means all. With ``skip_bad``, records that cannot be migrated and files that cannot be read stay as
    they are; else they stop the run before anything changes.
    """

    target: str = READABLE
    direction: Direction = "up"
    agents: tuple[str, ...] = ()
    skip_bad: bool = False

    @property
    def is_readable(self) -> bool:
        """Whether the agents' runtime reads what comes of it."""
        return self.target not in UNREADABLE


def refuse_unknown(target: str) -> None:
    """Raise UsageError for a version that no step leads to."""
    choose((target,), VERSIONS, "schema version")
