"""The errors that are put into the code are the ones that are meant, and each is there by itself."""

from __future__ import annotations

from pathlib import Path

from tests.mutation.groups import GROUPS
from tests.mutation.mutants import mutants_of

PROJECT = Path(__file__).resolve().parents[2]

CODE = '''"""Text."""

LIMIT = 3


def least(values: list[int], low: int = 0) -> int:
    """Text."""
    if not values:
        raise ValueError(f"{low} values")
    return min(value for value in values if value >= low)
'''


def test_every_error_is_made_once_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "least.py"
    path.write_text(CODE, encoding="utf-8")
    found = list(mutants_of(path))
    assert [(one.line, one.function, one.what.partition(":")[0]) for one in found] == [
        (3, "", "constant"),
        (6, "least", "constant"),
        (8, "least", "condition"),
        (8, "least", "not"),
        (9, "least", "pass"),
        (10, "least", "return"),
        (10, "least", "call"),
        (10, "least", "condition"),
        (10, "least", "compare"),
    ]
    results = []
    for one in found:
        names: dict[str, object] = {}
        exec(one.code, names)  # noqa: S102 - which is what a mutant is for
        least = names["least"]
        assert callable(least)
        try:
            results.append(least([5, 0, 7, -1]))
        except ValueError:
            results.append("ValueError")
    assert results == [0, 5, "ValueError", "ValueError", 0, None, 7, -1, 5]


def test_what_is_tried_is_there() -> None:
    for modules, tests in GROUPS.values():
        assert all(list(PROJECT.glob(one)) for one in (*modules, *tests))
