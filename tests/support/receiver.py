"""A receiver of webhooks on loopback, a real HTTP server in a thread, which answers as a test says."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "correct horse battery staple"  # noqa: S105  (made up)
PATH = "/services/T000/hidden-token?key=also-hidden"


@dataclass(frozen=True)
class Got:
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    def is_genuine(self, secret: str = SECRET) -> bool:
        """Whether the signature is right, worked out by RFC 2104 alone and not by anything that AML uses."""
        block = secret.encode().ljust(64, b"\0") if len(secret) <= 64 else hashlib.sha256(secret.encode()).digest()
        block = block.ljust(64, b"\0")
        signed = self.headers["x-aml-timestamp"].encode() + b"." + self.body
        inner = hashlib.sha256(bytes(one ^ 0x36 for one in block) + signed).digest()
        outer = hashlib.sha256(bytes(one ^ 0x5C for one in block) + inner).hexdigest()
        return hmac.compare_digest(f"sha256={outer}", self.headers["x-aml-signature"])


@dataclass
class Receiver:
    """``answers`` are given one after the other, the last one for good: a status, or what is done with the request."""

    url: str
    port: int
    answers: list[int | Callable[[BaseHTTPRequestHandler], None]]
    got: list[Got] = field(default_factory=list)

    @property
    def told(self) -> list[tuple[str, str]]:
        """Event and condition of each message, in the order in which they came."""
        found = [one.message for one in self.got]
        return [(one["event"], f"{one['alert']['check']}/{one['alert']['subject']}") for one in found]


@contextmanager
def receiving(
    *answers: int | Callable[[BaseHTTPRequestHandler], None], context: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """A receiver while the block runs."""
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if len(body) != int(self.headers["Content-Length"]):
                return  # whoever sent it was killed half-way
            with turn:
                receiver.got.append(Got(self.path, {name.lower(): text for name, text in self.headers.items()}, body))
                answer = receiver.answers[0] if len(receiver.answers) == 1 else receiver.answers.pop(0)
            if callable(answer):
                answer(self)
                return
            self.send_response(answer)
            if 300 <= answer < 400:
                self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # a client that goes away, or refuses the certificate

    with Server(("127.0.0.1", 0), Handler) as server:
        port = server.server_address[1]
        scheme = "http"
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        receiver = Receiver(f"{scheme}://127.0.0.1:{port}{PATH}", port, list(answers) or [200])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def closed_port() -> int:
    """A port on loopback where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def slowly(seconds: float) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer that takes its time before it begins."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        handler.send_response(200)
        handler.end_headers()

    return answer


def drip(parts: Sequence[bytes], pause: float) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer that comes bit by bit, each in less time than one read may take."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()
            time.sleep(pause)

    return answer


def raw(data: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer as it stands, HTTP or not."""
    return lambda handler: handler.wfile.write(data) and None
