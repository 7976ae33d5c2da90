"""One line that tells a person what a record is about."""

from __future__ import annotations

from collections.abc import Mapping

#: Where the records of each kind have words of their own, in the order in which they read well: the names of objects
#: in each other, then the spellings of a field.
_WORDS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("pattern",), ("type",)),
    (("pattern", "approach"), ("technique",)),
    (("problem",), ("errorType", "error_type")),
    (("problem",), ("errorMessage", "error_message")),
    (("decision",), ("question",)),
    (("decision",), ("chosenOption", "chosen_option")),
)


def summary_of(record: object) -> str:
    """What a decoded record says of itself, such as ``cache-aside: Cache the price list``; empty where it is silent."""
    found = []
    for path, spellings in _WORDS:
        holder = record
        for name in path:
            holder = holder.get(name) if isinstance(holder, Mapping) else None
        if isinstance(holder, Mapping):
            words = (holder.get(name) for name in spellings)
            found += [word for word in words if isinstance(word, str)][:1]
    return ": ".join(found)
