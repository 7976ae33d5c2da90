"""One message sent to a webhook: signed, within a time that is kept to, and without a detour.

No redirect is followed and no proxy used, since both would show the message to somebody whom nobody named. What went
wrong is told without the path of the address, which is often a secret, and in words of our own, since a receiver's may
quote it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, RemoteDisconnected
from threading import Event, Thread

from msgspec import Struct

from aml.errors import AmlError
from aml.fs.parallel import begun
from aml.monitor.address import Address
from aml.monitor.signing import Key

#: Refusals that may pass by themselves: too slow, too early, too often.
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
#: An answer is read so far (bytes) and for so long (seconds), for the sake of receivers that are still writing it.
_READ_BYTES, _READ_SECONDS = 1 << 16, 0.5


class Receiver(Struct, frozen=True):
    """Where messages go, the secret they are signed with, and what AML calls itself there."""

    address: Address
    key: Key
    agent: str


class Answer(Struct, frozen=True):
    """What came of one attempt: the HTTP status, None where there was none; ``problem`` says what went wrong."""

    status: int | None
    problem: str = ""

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Whether asking again is in vain as long as nobody changes anything, there or in the settings."""
        return self.status is not None and 300 <= self.status < 500 and self.status not in _PASSING


def headers_of(body: bytes, receiver: Receiver, *, event: str, delivery: str, now: float) -> dict[str, str]:
    """The headers of a message that is sent ``now`` (seconds since 1970 UTC), its signature among them."""
    timestamp = str(int(now))
    return {
        "Content-Type": "application/json",
        "User-Agent": receiver.agent,
        "X-AML-Event": event,
        "X-AML-Delivery": delivery,
        "X-AML-Timestamp": timestamp,
        "X-AML-Signature": f"sha256={receiver.key.signature(timestamp, body)}",
        "Connection": "close",
    }


def post(address: Address, body: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
    """Send a message; whatever goes wrong is in the answer, which is there within ``timeout`` seconds."""
    exchange = _Exchange(address, body, headers, timeout)
    # resolving a name can be neither limited nor broken off, so it is done by a thread that can be left behind
    try:
        begun(Thread(target=exchange.run, name="aml-webhook", daemon=True))
        exchange.answered.wait(timeout)
        answer = exchange.answer
        if answer is not None and answer.status is not None:
            exchange.ended.wait(_READ_SECONDS)
    except AmlError as error:
        return Answer(None, error.message)
    finally:
        exchange.cut()
    return answer if answer is not None else Answer(None, f"no answer within {timeout:g} s")


class _Exchange:
    """One request and its answer, in a thread of its own."""

    def __init__(self, address: Address, body: bytes, headers: Mapping[str, str], timeout: float) -> None:
        self._address = address
        self._body = body
        self._headers = headers
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._cut = False
        self.answer: Answer | None = None
        self.answered, self.ended = Event(), Event()

    def run(self) -> None:
        try:
            with suppress(OSError, HTTPException, ValueError):
                self._exchange()
        finally:
            self.answered.set()
            self.ended.set()
            if self._socket is not None:
                self._socket.close()

    def cut(self) -> None:
        """Break the connection off, so that the thread ends."""
        self._cut = True
        if self._socket is not None:
            with suppress(OSError):
                # the one of TLS would take the layer away under the thread that reads from it
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _exchange(self) -> None:
        try:
            connection = self._connect()
            connection.request("POST", self._address.target, self._body, dict(self._headers))
            response = connection.getresponse()
        except (OSError, HTTPException, ValueError) as error:
            self.answer = Answer(None, _problem(error, self._timeout))
            return
        with closing(response):
            self.answer = Answer(response.status, "" if 200 <= response.status < 300 else _refusal(response.status))
            self.answered.set()
            response.read(_READ_BYTES)

    def _connect(self) -> HTTPConnection:
        """A connection that is open already, each step of it bounded and within reach of ``cut``."""
        address = self._address
        self._socket = socket.create_connection((address.host, address.port), self._timeout)
        if self._cut:
            raise TimeoutError
        if address.scheme == "https":
            context = ssl.create_default_context()
            self._socket = context.wrap_socket(
                self._socket, server_hostname=address.host, do_handshake_on_connect=False
            )
            self._socket.do_handshake()
        connection = HTTPConnection(address.host, address.port)
        # so that the header names no port that goes without saying
        connection.default_port = 443 if address.scheme == "https" else 80
        connection.sock = self._socket
        return connection


def _refusal(status: int) -> str:
    try:
        phrase = f" ({HTTPStatus(status).phrase})"
    except ValueError:
        phrase = ""
    redirect = "; redirects are not followed" if 300 <= status < 400 else ""
    return f"it answered {status}{phrase}{redirect}"


def _problem(error: Exception, timeout: float) -> str:
    """What went wrong, in words that quote nothing of what was sent or received."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection: {(error.reason or 'broken off').lower().replace('_', ' ')}"
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved: {error.strerror}"
    if isinstance(error, RemoteDisconnected):
        return "it closed the connection without an answer"
    if isinstance(error, OSError):
        return f"cannot reach it: {error.strerror or 'the connection broke'}"
    return "what it answered is no HTTP" if isinstance(error, HTTPException) else "its name cannot be used"
