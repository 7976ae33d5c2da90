"""python -m tests.mutation GROUP: small errors are put into the code, one by one; which of them does no test notice?"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.mutation.groups import GROUPS

_PROJECT = Path(__file__).resolve().parents[2]
_PYTEST = "-m pytest -p tests.mutation.plugin -o addopts= -o timeout=0 --import-mode=importlib -p no:cacheprovider -n 0"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("group", choices=sorted(GROUPS))
    parser.add_argument("--results", default="mutation.jsonl", help="what is in there is known and not tried again")
    parser.add_argument("--again", action="store_true", help="try again what no test noticed before")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    modules, tests = GROUPS[chosen.group]
    found = sorted(path for one in modules for path in _PROJECT.glob(one) if path.name != "__init__.py")
    words = [*_PYTEST.split(), "-q", "-m", "not slow and not soak", f"--mutation-jobs={chosen.jobs}"]
    words += [f"--mutation-results={Path(chosen.results).absolute()}", *(["--mutation-again"] if chosen.again else [])]
    words += [*(f"--mutate={path.relative_to(_PROJECT)}" for path in found), *tests]
    environment = os.environ | {"HYPOTHESIS_PROFILE": "mutation", "PYTHONPATH": str(_PROJECT)}
    return subprocess.run([sys.executable, *words], env=environment, cwd=_PROJECT).returncode


if __name__ == "__main__":
    sys.exit(main())
