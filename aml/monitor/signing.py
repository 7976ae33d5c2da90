"""The secret that AML and the receiver of its messages share, and signatures made with it."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Collection
from pathlib import Path

from aml.errors import FileAccessError
from aml.fs.access import explained, user_name

#: No secret is longer (bytes); more is some other file.
_LONGEST = 1 << 16
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Key:
    """A secret; nothing shows it."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def signature(self, timestamp: str, body: bytes) -> str:
        """HMAC-SHA256 (RFC 2104) over the timestamp, a dot and the body, in hex."""
        return hmac.new(self._secret, timestamp.encode() + b"." + body, "sha256").hexdigest()


def read_key(path: Path, owners: Collection[int] = ()) -> Key:
    """The secret in a file, without the line end after it.

    Raises FileAccessError where it cannot be read, is empty, or others than its owner could read it; the owner must be
    the user, root, or one of ``owners`` (user ids).
    """
    with explained("read", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FileAccessError(f"{path} is no file with a secret", advice="name a regular file")
        if found.st_uid not in {os.geteuid(), 0, *owners}:
            raise FileAccessError(f"the secret in {path} belongs to another user", advice=f"chown {user_name()} {path}")
        if stat.S_IMODE(found.st_mode) & _OTHERS:
            raise FileAccessError(f"the secret in {path} can be read or changed by others", advice=f"chmod 600 {path}")
        with explained("read", path):
            secret = os.read(descriptor, _LONGEST + 1)
    finally:
        os.close(descriptor)
    secret = secret.removesuffix(b"\n").removesuffix(b"\r")
    if not 0 < len(secret) < _LONGEST:
        raise FileAccessError(
            f"{path} holds no secret: it is {'empty' if not secret else 'too large'}",
            advice=f"make one: (umask 077; openssl rand -hex 32 > {path})",
        )
    return Key(secret)
