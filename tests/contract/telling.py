"""Findings told to a webhook, with settings as a test wants them."""

from __future__ import annotations

from aml.config import Settings, load_settings
from aml.monitor.findings import Finding, Level
from aml.store.open import Store
from aml.workflows.alerts import AlertChanges, take_up
from tests.support.receiver import SECRET
from tests.support.records import NOW

T = NOW.timestamp()
CHECKS = ("backup", "caps")
#: One attempt, no pause: what is tried here is not how long a pause takes.
ONCE = {"AML_WEBHOOK_RETRIES": "0"}
IN_A_FILE = {"AML_WEBHOOK_SECRET_FILE": "webhook.secret"}


def finding(subject: str = "", level: Level = Level.WARNING, check: str = "caps") -> Finding:
    return Finding(check, subject, level, f"{check} of {subject} is not well", "aml prune", 470.0, 400.0, "records")


def settings_for(url: str, **more: str) -> Settings:
    names = {"AML_WEBHOOK_URL": url, "AML_WEBHOOK_RETRY_SECONDS": "0.01"} | more
    return load_settings(None, names).settings


def tell(store: Store, url: str, *found: Finding, secret: str | None = SECRET, **more: str) -> AlertChanges:
    return take_up(store, found, CHECKS, now=T, settings=settings_for(url, **more), secret=secret)
