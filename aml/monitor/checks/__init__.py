"""The checks of a store's health. A new one joins by one entry in the tuple of its file; its name never changes."""

from __future__ import annotations

from aml.monitor.checks.backups import BACKUPS
from aml.monitor.checks.check import Check
from aml.monitor.checks.contents import CONTENTS
from aml.monitor.checks.course import COURSE
from aml.monitor.checks.places import PLACES
from aml.monitor.checks.speed import SPEED

#: In the order in which they run and are reported where they are equally bad.
CHECKS: tuple[Check, ...] = (*CONTENTS, *PLACES, *BACKUPS, *COURSE, *SPEED)
