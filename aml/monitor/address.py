"""The address of a webhook: what is allowed, and how it is shown. Its path and query are often a secret."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from msgspec import Struct

_PORTS = {"http": 80, "https": 443}


class Address(Struct, frozen=True):
    """Where a webhook is: ``target`` is its path with the query, and never shown."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def shown(self) -> str:
        """The address without what may be secret in it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}/..."

    @property
    def is_secure(self) -> bool:
        """Whether nobody on the way can read along: TLS, or this very machine."""
        if self.scheme == "https" or self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __repr__(self) -> str:
        return self.shown


def parse_address(url: str) -> Address:
    """Raises ValueError, which says what is wrong and quotes nothing of the address."""
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError("it holds a character that must be written in another way, such as %20")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("its host or port cannot be read") from None
    if parts.scheme not in _PORTS:
        raise ValueError("it does not begin with https:// or http://")
    if not host or port == 0:
        raise ValueError("it names no host")
    if "@" in parts.netloc:
        raise ValueError("it holds a user name or a password, which has no place there")
    query = f"?{parts.query}" if parts.query else ""
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], (parts.path or "/") + query)


def shown_address(url: str) -> str:
    """How an address is shown in settings; one that cannot be read is not shown at all."""
    try:
        return parse_address(url).shown if url else ""
    except ValueError:
        return "..."
