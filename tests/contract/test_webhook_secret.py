"""What a webhook gets is signed and shows no secret; whom it is told to is who was meant."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aml.config import load_settings
from aml.store.open import Store, open_store
from aml.workflows.alerts import take_up, try_webhook
from tests.cli.running import PROJECT, Answer, aml, aml_child, small_store
from tests.contract.telling import CHECKS, IN_A_FILE, ONCE, T, finding, settings_for, tell
from tests.support.receiver import PATH, SECRET, closed_port, raw, receiving

HIDDEN = (SECRET, "hidden-token", "also-hidden")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(small_store(tmp_path / "project") / ".loom" / "memory")


def test_openssl_agrees_with_the_signature(store: Store) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    with receiving(200) as receiver:
        tell(store, receiver.url, finding())
    (got,) = receiver.got
    signed = got.headers["x-aml-timestamp"].encode() + b"." + got.body
    words = ["openssl", "dgst", "-sha256", "-hmac", SECRET]
    made = subprocess.run(words, input=signed, capture_output=True, check=True).stdout.decode().split()[-1]
    assert got.headers["x-aml-signature"] == f"sha256={made}"


def test_without_a_secret_nothing_is_sent_unsigned_and_what_waits_is_sent_when_there_is_one(store: Store) -> None:
    with receiving(200) as receiver:
        changes = tell(store, receiver.url, finding(), secret=None)
        assert (len(changes.opened), changes.sent, changes.waiting) == (1, 0, 1)
        assert "no secret" in changes.problems[0]
        assert receiver.got == []
        file = store.root.parent / "webhook.secret"
        file.write_text(f"{SECRET}\n", encoding="utf-8")
        file.chmod(0o644)
        changes = tell(store, receiver.url, finding(), secret=None, **IN_A_FILE)
        assert f"chmod 600 {file}" in changes.problems[0]
        file.chmod(0o600)
        changes = tell(store, receiver.url, finding(), secret=None, **IN_A_FILE)
    assert (changes.sent, changes.waiting) == (1, 0)
    assert receiver.got[0].is_genuine()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that nobody signed but itself, and a server's context with it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    words += " -keyout key.pem -out cert.pem -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(words.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


def test_a_certificate_that_nobody_vouches_for_is_refused_and_one_that_is_trusted_is_not(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = certificate(tmp_path)
    with receiving(200, context=context) as receiver:
        changes = tell(store, receiver.url, finding(), **ONCE)
        assert receiver.got == []
        assert "certificate is not to be trusted" in changes.problems[0]
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        assert tell(store, receiver.url.replace("127.0.0.1", "localhost"), finding(), **ONCE).sent == 0
        assert tell(store, receiver.url, finding(), **ONCE).sent == 1
    assert receiver.got[0].is_genuine()


def test_tls_to_a_receiver_without_it_is_told(store: Store) -> None:
    with receiving(200) as receiver:
        changes = tell(store, receiver.url.replace("http:", "https:"), finding(), **ONCE)
    assert "no TLS connection" in changes.problems[0]
    assert receiver.got == []


def test_no_proxy_is_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    with receiving(200) as receiver:
        assert tell(store, receiver.url, finding()).sent == 1


def test_what_is_not_encrypted_is_warned_of(store: Store) -> None:
    warnings: list[str] = []
    settings = settings_for("http://nowhere.invalid/x", AML_WEBHOOK_TIMEOUT_SECONDS="1", **ONCE)
    take_up(store, [finding()], CHECKS, now=T, settings=settings, secret=SECRET, warn=warnings.append)
    assert [one for one in warnings if "not encrypted" in one]
    assert try_webhook(store, now=T, settings=settings, secret=SECRET).notes


def answers(project: Path, environment: Mapping[str, str]) -> list[Answer]:
    """What every command says that has to do with the webhook, in all its ways."""
    commands = (["test"], ["list"], ["list", "--all"], ["history"], ["resolve", "2026"], ["show", "2026"])
    found = [
        aml(project, "monitor", "alerts", *words, *more, environment=environment)
        for words in commands
        for more in ([], ["--json"], ["-v"])
    ]
    found += [
        aml(project, "config", one, *more, environment=environment)
        for one in ("show", "path")
        for more in ([], ["--json"])
    ]
    found.append(aml_child(project, "monitor", "alerts", "test", "--json", **environment))
    found.append(aml_child(project, "monitor", "alerts", "test", "-v", **environment))
    return found


@pytest.mark.parametrize("how", ["accepted", "refused", "failed", "dead", "no file", "open file"])
def test_nothing_shows_the_secret_or_the_path_of_the_address(how: str, tmp_path: Path) -> None:
    project = small_store(tmp_path / "project")
    store = open_store(project / ".loom" / "memory")
    echo = f"{{}} {SECRET} {PATH}".encode()

    def quoting(status: int) -> object:
        return raw(f"HTTP/1.1 {status} {SECRET} {PATH}\r\n\r\n".encode() + echo)

    answer = {"accepted": quoting(200), "refused": quoting(404), "failed": quoting(500)}.get(how, 200)
    with receiving(answer) as receiver:  # type: ignore[arg-type]
        url = f"http://127.0.0.1:{closed_port()}{PATH}" if how == "dead" else receiver.url
        environment = {"AML_WEBHOOK_URL": url, "AML_WEBHOOK_RETRIES": "0"}
        if "file" in how:
            environment |= IN_A_FILE
            if how == "open file":
                (store.root.parent / "webhook.secret").write_text(SECRET, encoding="utf-8")
                (store.root.parent / "webhook.secret").chmod(0o644)
        else:
            environment["AML_WEBHOOK_SECRET"] = SECRET
        warnings: list[str] = []
        changes = take_up(
            store,
            [finding("alpha")],
            CHECKS,
            now=T,
            settings=load_settings(None, environment).settings,
            secret=environment.get("AML_WEBHOOK_SECRET"),
            warn=warnings.append,
        )
        said = [*changes.problems, *warnings, repr(changes)]
        said += [text for one in answers(project, environment) for text in (one.out, one.err)]
    files = [path for path in project.rglob("*") if path.is_file() and path.name != "webhook.secret"]
    said += [path.read_bytes().decode(errors="replace") for path in files]
    assert any("alerts.json" in str(path) for path in files)
    assert [(hidden, text) for hidden in HIDDEN for text in said if hidden in text] == []
    assert "Traceback" not in "".join(said)


def test_the_ways_to_verify_that_are_shown_accept_what_is_genuine_and_nothing_else(
    store: Store, tmp_path: Path
) -> None:
    page = (PROJECT / "docs" / "webhook.md").read_text(encoding="utf-8").partition("## Verify it")[2]
    python, shell = (re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)[0] for language in ("python", "sh"))
    with receiving(200) as receiver:
        settings = settings_for(receiver.url)
        take_up(store, [finding()], CHECKS, now=time.time(), settings=settings, secret=SECRET)
    (got,) = receiver.got
    headers = {"X-AML-Timestamp": got.headers["x-aml-timestamp"], "X-AML-Signature": got.headers["x-aml-signature"]}
    names: dict[str, Any] = {}
    exec(python, names)  # noqa: S102  (what the page shows)
    is_genuine = names["is_genuine"]
    assert is_genuine(SECRET.encode(), headers, got.body)
    assert not is_genuine(b"other", headers, got.body)
    assert not is_genuine(SECRET.encode(), headers, got.body + b" ")
    late = headers | {"X-AML-Timestamp": str(int(headers["X-AML-Timestamp"]) + 1)}
    assert not is_genuine(SECRET.encode(), late, got.body)
    assert not is_genuine(SECRET.encode(), headers, got.body, tolerance=-1)
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (tmp_path / ".loom").mkdir()
    (tmp_path / ".loom" / "webhook.secret").write_text(f"{SECRET}\n", encoding="utf-8")
    for body, status in ((got.body, 0), (got.body + b" ", 1)):
        (tmp_path / "body").write_bytes(body)
        given = {"timestamp": headers["X-AML-Timestamp"], "signature": headers["X-AML-Signature"]}
        done = subprocess.run(["sh", "-c", shell], cwd=tmp_path, env={"PATH": os.environ["PATH"]} | given)
        assert done.returncode == status
