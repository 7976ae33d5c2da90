"""Fills the slots of the sample phrases from a seeded generator; no clock, no files."""

from __future__ import annotations

from random import Random

from aml.demo import vocabulary as words
from aml.demo.domains import Domain


class Phrases:
    """Readable text of one domain, drawn from a generator; the same generator state gives the same text."""

    def __init__(self, rng: Random, domain: Domain) -> None:
        self._rng = rng
        self._domain = domain
        self._pools: dict[str, tuple[str, ...]] = {
            "adj": words.ADJECTIVES,
            "metric": words.METRICS,
            "things": words.THINGS,
            "audience": words.AUDIENCES,
            "place": words.PLACES,
            "noun": words.NOUNS,
            "part": words.PARTS,
            "verb": words.VERBS,
        }

    def __getitem__(self, slot: str) -> str:
        """A fresh value for one slot of a phrase; a capitalised slot gives a capitalised value."""
        pool = self._pools.get(slot)
        if pool is not None:
            return self.pick(pool)
        if slot in ("Noun", "Part"):
            return self[slot.lower()].capitalize()
        if slot == "component":
            return self._component()
        if slot == "file":
            return f"{self['noun']}/{self['verb']}_{self['noun']}_{self['part']}{self._domain.suffix}"
        if slot == "hash":
            return f"{self._rng.getrandbits(32):08x}"
        if slot == "n":
            return str(2 + int(self._rng.random() * 88))
        if slot == "count":
            return str(100 + int(self._rng.random() * 9900))
        if slot == "ms":
            return str(20 + int(self._rng.random() * 4000))
        raise KeyError(slot)

    def _component(self) -> str:
        """A part of the system with its article, often a made-up one: "the stale coupon queue"."""
        if self._rng.random() < 0.35:
            return self.pick(self._domain.components)
        return f"the {self['adj']} {self['noun']} {self['part']}"

    def pick(self, pool: tuple[str, ...]) -> str:
        """One element of a pool, as it stands."""
        return pool[int(self._rng.random() * len(pool))]

    def fill(self, template: str) -> str:
        """A template with all of its slots filled."""
        return template.format_map(self)

    def draw(self, pool: tuple[str, ...]) -> str:
        """One template of a pool, filled."""
        return self.fill(self.pick(pool))

    def several(self, pool: tuple[str, ...], count: int) -> list[str]:
        """So many different templates of a pool, filled."""
        return [self.fill(template) for template in self._rng.sample(pool, count)]

    def technique(self) -> str:
        """What to do, as one imperative: "Cache the order endpoint per tenant"."""
        return f"{self.pick(self._domain.actions)} {self['component']} {self.draw(words.MANNERS)}"

    def observation(self) -> str:
        """What went wrong, as one sentence."""
        return _capitalised(f"{self['component']} {self.draw(self._domain.symptoms)} {self.draw(words.CIRCUMSTANCES)}.")

    def evidence(self) -> str:
        """Measurements, places and commits that back a record, as one sentence."""
        return _capitalised(self.draw(words.EVIDENCE))

    def finding(self) -> str:
        """What was learned, as one sentence."""
        return _capitalised(self.draw(words.FINDINGS))

    def code(self) -> str:
        """One line of code or configuration of the domain."""
        return self.draw(self._domain.code)

    def options(self, count: int) -> list[str]:
        """So many different technical options."""
        return self._rng.sample(self._domain.options, count)

    def error(self) -> tuple[str, str]:
        """An error type and its message."""
        kind, message = self._rng.choice(self._domain.errors)
        return kind, self.fill(message)


def _capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
