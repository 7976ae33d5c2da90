"""Settings of the test run: how many examples the properties are tried on, and that nothing waits for the disk; what
it needs of its process; and lines at its end that tell how many fault points it tried."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

from tests.support.disk import never_wait_for_the_disk
from tests.support.surroundings import take_interrupts, trace_threads_patiently

_SLOW_DISKS = [HealthCheck.too_slow]

settings.register_profile("default", max_examples=20, deadline=None, suppress_health_check=_SLOW_DISKS)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True, suppress_health_check=_SLOW_DISKS)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

never_wait_for_the_disk()
take_interrupts()
trace_threads_patiently()


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors, since some tests mostly wait."""
    return (os.cpu_count() or 1) + 1


def pytest_terminal_summary(terminalreporter: Any) -> None:
    # here, since a conftest.py further down is not known where xdist has others run the tests
    from tests.fault.points import told_points

    for line in told_points(report for reports in terminalreporter.stats.values() for report in reports):
        terminalreporter.write_line(line)
