"""``repository.json``: what a repository says of itself, and what stands in for it where it is lost."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct

from aml.errors import AmlError, DamagedError, NotFoundError, SchemaError
from aml.model.undecodable import UNDECODABLE
from aml.repository.destination import Destination
from aml.repository.manifest import FORMAT
from aml.repository.snapshots import list_snapshots, newest_readable

DESCRIPTION_KEY = "repository.json"

_MAX_DESCRIPTION_BYTES = 1 << 16


class Description(Struct, frozen=True):
    """``repository.json``: written once, when the repository is made."""

    format: int
    id: str
    created: datetime


class _Format(Struct, frozen=True):
    format: int


def describe(destination: Destination) -> Description:
    """What ``repository.json`` says. Raises NotFoundError, DamagedError, and SchemaError for another format."""
    data = destination.get(DESCRIPTION_KEY, limit=_MAX_DESCRIPTION_BYTES)
    try:
        told = msgspec.json.decode(data, type=_Format).format
        # another format may have other fields, which is no damage
        if told == FORMAT:
            return msgspec.json.decode(data, type=Description)
    except UNDECODABLE as error:
        raise DamagedError(f"{DESCRIPTION_KEY} is damaged: {error}", advice="see docs/repository-format.md") from error
    raise SchemaError(
        f"the repository has format {told}; this AML knows format {FORMAT}",
        advice="use a newer AML",
    )


def describe_or_recover(destination: Destination) -> tuple[Description, bool]:
    """The description, and whether it stands in for one that is lost or damaged: its id is then that of the backups.

    Raises SchemaError for another format, FileAccessError, and without any backup what ``describe`` raises.
    """
    try:
        found = describe(destination)
    except (NotFoundError, DamagedError) as error:
        return _recovered(destination, error), True
    newest = newest_readable(destination)
    if newest is not None and newest.manifest.repository != found.id:
        return _recovered(destination, DamagedError(f"{DESCRIPTION_KEY} names another repository")), True
    return found, False


def _recovered(destination: Destination, failure: AmlError) -> Description:
    snapshots = list_snapshots(destination).readable
    if not snapshots:
        raise failure
    return Description(FORMAT, snapshots[-1].manifest.repository, min(one.manifest.time for one in snapshots))


def write_description(destination: Destination, description: Description) -> None:
    destination.put(DESCRIPTION_KEY, msgspec.json.encode(description) + b"\n")
