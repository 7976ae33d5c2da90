"""The jobs as units of systemd: a service and a timer for each."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aml.cli.schedule import JOBS, File, Job, Place
from aml.errors import UsageError

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")

_SERVICE = """\
# AML for the store {store}.
# Written by aml config init --schedule systemd.
# {does}

[Unit]
Description=AML {job} ({description})
RequiresMountsFor={mounts}
{after}# A unit of yours that tells somebody when this one fails:
#OnFailure=tell-somebody@%n.service

[Service]
Type=oneshot
User={user}
ExecStart={command}
{success}TimeoutStartSec=12h
UMask=0077
# 130 MiB and three times the largest record file, unpacked, are enough:
#MemoryMax=1G

# Hooks run in here too. What one of yours needs beyond this (the network, other folders) goes into a drop-in:
# systemctl edit {unit}.service
ProtectSystem=strict
ReadWritePaths={writable}
ProtectHome={home}
PrivateTmp={tmp}
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
NoNewPrivileges=yes
CapabilityBoundingSet={capabilities}
RestrictAddressFamilies={families}
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""

_TIMER = """\
# AML for the store {store}.
# Written by aml config init --schedule systemd.
# {does}

[Unit]
Description=AML {job}, when it is due ({description})

[Timer]
OnCalendar={calendar}
# Each machine of a fleet starts at another moment, always the same one.
RandomizedDelaySec=15min
FixedRandomDelay=yes
# What was due while the machine was off is done when it is on again.
Persistent=yes

[Install]
WantedBy=timers.target
"""

#: What root needs to work on the files of others; nobody else gets any.
_ROOT_CAPABILITIES = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID"


def units(place: Place) -> tuple[File, ...]:
    """A service and a timer for each job. Raises UsageError for a path that no unit can hold."""
    for path in (*place.program, *place.writable, place.store, place.repository or "", place.config or ""):
        if not _is_text(path):
            raise UsageError(f"{path!r} is not UTF-8, which units must be", advice="--schedule cron can hold it")
    files = []
    for number, job in enumerate(JOBS):
        unit = _unit(place, job)
        files.append(File(f"{unit}.service", _service(place, job, before=JOBS[:number])))
        told = {"store": place.store, "does": job.does, "job": job.name, "calendar": job.calendar}
        files.append(File(f"{unit}.timer", _TIMER.format(**told, description=_unspecified(place.store))))
    return tuple(files)


def timers(place: Place) -> tuple[str, ...]:
    """Names of the units that are to be enabled."""
    return tuple(f"{_unit(place, job)}.timer" for job in JOBS)


def _unit(place: Place, job: Job) -> str:
    return f"aml-{place.name}-{job.name}"


def _service(place: Place, job: Job, *, before: Sequence[Job]) -> str:
    # several may be due at once after the machine was off, and only one can change a store
    after = " ".join(f"{_unit(place, one)}.service" for one in before)
    return _SERVICE.format(
        store=place.store,
        does=job.does,
        job=job.name,
        unit=_unit(place, job),
        description=_unspecified(place.store),
        mounts=path_list(place.writable),
        after=f"After={after}\n" if after else "",
        user=_unspecified(place.user),
        command=command_line(place.command(job)),
        success="SuccessExitStatus=3\n" if job.is_done_when_partial else "",
        writable=path_list(place.writable),
        home="read-only" if place.needs_home else "yes",
        tmp="no" if place.needs_tmp else "yes",
        capabilities=_ROOT_CAPABILITIES if place.user in ("root", "0") else "",
        families="AF_UNIX AF_INET AF_INET6" if job.uses_network else "AF_UNIX",
    )


def command_line(words: Sequence[str]) -> str:
    """A command that systemd starts with these words; in the path of the program itself it replaces no variables."""
    program, *others = words
    return " ".join(
        [_quoted(_unspecified(program)), *(_quoted(_unspecified(one).replace("$", "$$")) for one in others)]
    )


def path_list(paths: Sequence[str]) -> str:
    return " ".join(_quoted(_unspecified(path)) for path in paths)


def _unspecified(text: str) -> str:
    """``text`` in which systemd finds no specifiers."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
