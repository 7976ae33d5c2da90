"""Entry point: answers ``aml --version`` before anything heavy is imported."""

import gc
import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    if sys.argv[1:] == ["--version"]:
        from aml import __version__

        sys.stdout.write(f"aml {__version__}\n")
        return 0
    if sys.platform == "win32":
        sys.stderr.write("aml: Windows is not supported yet; use Linux, macOS, or the Windows Subsystem for Linux\n")
        return 1
    # a short-lived process makes many objects and hardly any cycles: the collector would only walk them in vain
    gc.set_threshold(200_000, 50, 50)
    try:
        from aml.cli.main import run_process

        return run_process()
    except KeyboardInterrupt:
        # before the command could begin, or after it had ended
        return 130


if __name__ == "__main__":
    sys.exit(main())
