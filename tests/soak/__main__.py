"""python -m tests.soak --minutes 10: writers against all maintenance; figures, and status 1 where anything was lost."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import soak
from tests.support.live_writer import node_writer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which commands are killed")
    parser.add_argument("--quiet", "-q", action="store_true", help="print nothing where all went well")
    chosen = parser.parse_args()
    if not node_writer() and not chosen.quiet:
        sys.stderr.write("no writer in Node: AML_TEST_NODE_MODULES names no proper-lockfile and pako\n")
    with tempfile.TemporaryDirectory(prefix="aml-soak-") as folder:
        seen = soak(Path(folder), chosen.minutes, seed=chosen.seed)
    if seen.problems or not chosen.quiet:
        sys.stdout.write("".join(f"{line}\n" for line in seen.lines()))
    return 1 if seen.problems else 0


if __name__ == "__main__":
    sys.exit(main())
