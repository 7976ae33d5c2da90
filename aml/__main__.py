"""Entry point: answers ``aml --version`` before anything heavy is imported."""

import errno
import gc
import os
import sys


def _say(text: str) -> int:
    """Write to standard output, past its buffer; returns the exit status."""
    try:
        os.write(1, text.encode())
    except OSError as error:
        # who closed it, or went away, wants no answer
        if error.errno not in (errno.EBADF, errno.EPIPE) and sys.stderr is not None:
            sys.stderr.write(f"aml: cannot write the answer: {error.strerror}\n")
        return int(error.errno != errno.EBADF)
    return 0


def main() -> int:
    """Run the command line; returns the exit status."""
    if sys.argv[1:] == ["--version"]:
        from aml import __version__

        return _say(f"aml {__version__}\n")
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
