"""AML's own folders beside a store: private, and unseen by git."""

from __future__ import annotations

from pathlib import Path

from aml.errors import FileAccessError
from aml.fs.durable import make_private_folder, write_durably
from aml.fs.files import is_there

_IGNORE_ALL = b"# kept by AML: holds text that the store no longer has\n*\n"


def prepare_folder(folder: Path) -> None:
    """Create one of AML's own folders, private and unseen by git."""
    make_private_folder(folder)
    ignore = folder / ".gitignore"
    if is_there(ignore):
        return
    try:
        write_durably(ignore, _IGNORE_ALL)
    except FileAccessError:
        # another run that prepares it as well may have cleared this write away
        if not is_there(ignore):
            raise
