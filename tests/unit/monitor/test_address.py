"""Which addresses a webhook may have, and that what may be secret in them is never shown."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.config import as_toml, load_settings
from aml.errors import SettingsError
from aml.monitor.address import parse_address, shown_address


@pytest.mark.parametrize(
    ("url", "shown", "target", "secure"),
    [
        (
            "https://hooks.example.com/services/T0/x?key=1",
            "https://hooks.example.com/...",
            "/services/T0/x?key=1",
            True,
        ),
        ("https://hooks.example.com:8443", "https://hooks.example.com:8443/...", "/", True),
        ("HTTPS://Hooks.Example.com:443/a#b", "https://hooks.example.com/...", "/a", True),
        ("http://127.0.0.1:9000/a", "http://127.0.0.1:9000/...", "/a", True),
        ("http://[::1]:9000/a", "http://[::1]:9000/...", "/a", True),
        ("http://localhost/a", "http://localhost/...", "/a", True),
        ("http://hooks.example.com/a", "http://hooks.example.com/...", "/a", False),
        ("http://192.168.0.7/a", "http://192.168.0.7/...", "/a", False),
    ],
)
def test_an_address_is_shown_without_path_and_query(url: str, shown: str, target: str, secure: bool) -> None:
    address = parse_address(url)
    assert (address.shown, address.target, address.is_secure) == (shown, target, secure)
    assert repr(address) == shown


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/SECRET",
        "file:///SECRET",
        "SECRET",
        "https:///SECRET",
        "https://user:SECRET@host/",
        "https://SECRET@host/",
        "https://@host/SECRET",
        "https://host:port/SECRET",
        "https://host:0/SECRET",
        "https://host:99999/SECRET",
        "https://host/SECRET space",
        "https://host/SECRET\r\nX-Other: 1",
        "https://h\u00f6st/SECRET",
        "https://[::1/SECRET",
    ],
)
def test_an_address_that_is_not_allowed_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(None, {"AML_WEBHOOK_URL": url})
    assert "AML_WEBHOOK_URL: webhook.url is not allowed: " in str(raised.value)
    assert "SECRET" not in str(raised.value)
    assert shown_address(url) == "..."


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    with suppress(ValueError):
        address = parse_address(text)
        assert address.shown.isascii()
        assert address.shown.endswith("/...")


def test_settings_show_the_address_without_its_path() -> None:
    effective = load_settings(None, {"AML_WEBHOOK_URL": "https://host/hidden"})
    (shown,) = [one.value for one in effective.listed() if one.name == "webhook.url"]
    assert shown == "https://host/..."
    assert "hidden" not in as_toml(effective)
    assert effective.settings.webhook.url == "https://host/hidden"


def test_an_address_of_another_type_is_refused_without_quoting_it(tmp_path: Path) -> None:
    file = tmp_path / "aml.toml"
    file.write_text('[webhook]\nurl = ["https://host/SECRET"]\n', encoding="utf-8")
    with pytest.raises(SettingsError) as raised:
        load_settings(file, {})
    assert "SECRET" not in str(raised.value)
