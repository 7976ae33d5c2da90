"""Whatever stands in a path, cron and systemd start the very words that are meant."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aml.cli.schedule import JOBS, Place
from aml.cli.schedule_cron import line, quoted
from aml.cli.schedule_systemd import command_line, path_list, units
from tests.support.scheduling import (
    cron_commands,
    settings_of,
    shell_words,
    systemd_command,
    systemd_paths,
)

_ODD = st.sampled_from(
    [*" %'\"\\$`;&|<>*?~#(){}[]!^=:@-,é…\u00a0\u2028🙂", "%%", "\\%", "\\\\", "%h", "${HOME}", "$$", "\\n"]
)
_TEXT = st.lists(_ODD | st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn")), min_size=1, max_size=12).map(
    "".join
)
PATHS = _TEXT.map(lambda text: f"/{text.strip()}x")
#: A path on a disk need not be text; these stand for its bytes.
BYTES = st.lists(st.binary(min_size=1, max_size=3).map(lambda one: one.decode(errors="surrogateescape")), max_size=3)


@given(words=st.lists(PATHS | _TEXT, min_size=1, max_size=5), odd=BYTES)
def test_cron_starts_the_words_that_are_meant(words: list[str], odd: list[str]) -> None:
    words += [f"/{one}" for one in odd if one.isprintable() or one.encode(errors="surrogateescape").isalnum()]
    command = quoted(words)
    assert "\n" not in command
    for version in dict.fromkeys(cron_commands(command)):
        assert shell_words(version) == words


@given(words=st.tuples(PATHS, st.lists(_TEXT, max_size=4)).map(lambda found: [found[0], *found[1]]))
def test_systemd_starts_the_words_that_are_meant(words: list[str]) -> None:
    value = command_line(words)
    assert systemd_command(value) == words
    assert value == value.strip()


@given(paths=st.lists(PATHS, min_size=1, max_size=3))
def test_systemd_reads_the_folders_that_are_meant(paths: list[str]) -> None:
    assert systemd_paths(path_list(paths)) == paths


@given(store=PATHS, repository=st.none() | PATHS, config=st.none() | PATHS, program=PATHS)
def test_each_job_of_a_schedule_is_about_the_store(
    store: str, repository: str | None, config: str | None, program: str
) -> None:
    place = Place((program,), store, "loom", "project", (store,), repository, config)
    services = [settings_of(one.text) for one in units(place) if one.name.endswith(".service")]
    for job, service in zip(JOBS, services, strict=True):
        assert systemd_command(service["ExecStart"]) == list(place.command(job))
        assert systemd_paths(service["ReadWritePaths"]) == systemd_paths(service["RequiresMountsFor"]) == [store]
        assert service["Description"].replace("%%", "%") == f"AML {job.name} ({store})"
    minute_to_weekday, _, command = line(place, JOBS[0]).partition("  ")
    assert minute_to_weekday == JOBS[0].cron
    assert shell_words(cron_commands(command)[0]) == [*place.command(JOBS[0]), "-q"]
