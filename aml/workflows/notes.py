"""What several commands tell beside their answer."""

from __future__ import annotations

from aml.store.open import Store

#: Where somebody saw what a run would do, and said no.
NOT_CONFIRMED = "nothing was changed: not confirmed"


def stranger_notes(store: Store) -> tuple[str, ...]:
    """What is told of folders that would be agents if their names could be read."""
    return tuple(
        f"left alone: the folder {name}, whose name is not UTF-8, or not in this locale" for name in store.strangers()
    )
