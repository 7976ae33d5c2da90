"""The jobs as lines of a crontab."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aml.cli.schedule import JOBS, File, Job, Place

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")

#: Up to some twelve minutes, another number on each machine and each time; without a percent sign.
JITTER = "sleep $(( $(od -An -N1 -tu1 /dev/urandom) * 3 )) &&"

_HEAD = """\
# AML for the store {store}.
# Written by aml config init --schedule cron. Add these lines to the crontab of {user}, who owns the store:
# crontab -u {user} -e
#
# - cron knows few paths, so all are whole here. The lines are for /bin/sh, which is what cron uses unless SHELL= says
#   otherwise.
# - With -q a run in which all went well prints nothing, so mail comes only when there is something to read: records
#   that wait because the loss budget is used up, files that were left alone, checks that fail, errors. MAILTO= says to
#   whom. cron itself does not look at exit statuses.
# - In a crontab a percent sign ends the command: write \\% for each that you add.
# - Without a terminal AML never asks. Two runs never meet on one store: the second ends with exit status 11 and names
#   the first.
# - A live agent writes records back that it still has in its cache. Choose hours in which agents are idle.
# - On many machines that share a disk or a receiver of alerts, put this before each command, for a pause of up to
#   twelve minutes: {jitter}
"""


def crontab(place: Place) -> tuple[File, ...]:
    """The one file with a line for each job."""
    parts = [_HEAD.format(store=place.store, user=place.user, jitter=JITTER)]
    parts += [f"# {job.does}\n{line(place, job)}\n" for job in JOBS]
    return (File("aml.crontab", "\n".join(parts)),)


def line(place: Place, job: Job) -> str:
    return f"{job.cron}  {quoted([*place.command(job), '-q'])}"


def quoted(words: Sequence[str]) -> str:
    """A command that cron hands to the shell as these words.

    A percent sign is escaped outside of quotes, where the shell takes the backslash away if cron leaves it, and no two
    backslashes stand side by side, which some crons make one of.
    """
    return " ".join(word if _PLAIN.fullmatch(word) else _quoted_word(word) for word in words)


def _quoted_word(word: str) -> str:
    escapes = {"'": "'\"'\"'", "%": "'\\%'", "\\": "\\''"}
    return "'" + "".join(escapes.get(one, one) for one in word) + "'"
