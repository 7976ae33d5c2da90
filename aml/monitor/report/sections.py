"""All sections of a report, in the order in which text and Markdown tell them."""

from __future__ import annotations

from aml.monitor.report.content import Section
from aml.monitor.report.data import ReportData
from aml.monitor.report.health import alerts_section, health_section
from aml.monitor.report.memory import agents_section, distribution_section, growth_section, schema_section
from aml.monitor.report.upkeep import backup_section, reading_section, removal_section, runs_section


def all_sections(data: ReportData) -> tuple[Section, ...]:
    """What is found first, then what there is, then what was done."""
    return (
        health_section(data),
        alerts_section(data),
        growth_section(data),
        agents_section(data),
        distribution_section(data),
        removal_section(data),
        backup_section(data),
        runs_section(data),
        schema_section(data),
        reading_section(data),
    )
