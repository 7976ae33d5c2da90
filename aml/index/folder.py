"""Where the index of a store lies."""

from __future__ import annotations

import hashlib
import os
import pwd
from pathlib import Path

from aml.fs.mounts import network_file_system
from aml.store.open import Store


def index_folder(store: Store, user_cache: Path | None = None) -> Path | None:
    """Beside the store; on a network file system below ``user_cache`` (None: ``.cache`` in the user's home).

    None where that user has no home.
    """
    if network_file_system(store.root) is None:
        return store.state / "index"
    if user_cache is None:
        try:
            user_cache = Path(pwd.getpwuid(os.geteuid()).pw_dir) / ".cache"
        except KeyError:
            return None
    # of the store's path only a hash is kept
    return user_cache / "aml" / hashlib.sha256(os.fsencode(store.root)).hexdigest()[:32]
