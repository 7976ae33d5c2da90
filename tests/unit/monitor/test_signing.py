"""The secret of the webhook: where it may come from, and what is made with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aml.errors import FileAccessError
from aml.monitor.signing import Key, read_key


def secret_file(tmp_path: Path, data: bytes = b"secret\n", mode: int = 0o600) -> Path:
    path = tmp_path / "webhook.secret"
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_the_signature_is_what_openssl_makes_of_timestamp_dot_and_body() -> None:
    # printf '1.hello' | openssl dgst -sha256 -hmac secret
    expected = "408428ff793aadef5e352345498782b65e3b6984774ce3d3e69ccdecae458305"
    assert Key(b"secret").signature("1", b"hello") == expected


@pytest.mark.parametrize("data", [b"secret", b"secret\n", b"secret\r\n"])
def test_a_line_end_after_the_secret_is_no_part_of_it(data: bytes, tmp_path: Path) -> None:
    key = read_key(secret_file(tmp_path, data))
    assert key.signature("1", b"x") == Key(b"secret").signature("1", b"x")


def test_blanks_in_a_secret_are_part_of_it(tmp_path: Path) -> None:
    key = read_key(secret_file(tmp_path, b" secret \n"))
    assert key.signature("1", b"x") == Key(b" secret ").signature("1", b"x")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o644, 0o666])
def test_a_secret_that_others_can_get_at_is_refused_with_what_mends_it(mode: int, tmp_path: Path) -> None:
    path = secret_file(tmp_path, mode=mode)
    with pytest.raises(FileAccessError) as raised:
        read_key(path)
    assert raised.value.advice == f"chmod 600 {path}"
    path.chmod(0o400)
    read_key(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_secret_of_another_user_is_refused_unless_the_store_is_theirs(tmp_path: Path) -> None:
    path = secret_file(tmp_path)
    os.chown(path, 12_345, -1)
    with pytest.raises(FileAccessError, match="belongs to another user"):
        read_key(path)
    read_key(path, (12_345,))


@pytest.mark.parametrize("data", [b"", b"\n", b"x" * 70_000])
def test_a_file_without_a_secret_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="holds no secret"):
        read_key(secret_file(tmp_path, data))


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing"):
        with pytest.raises(FileAccessError):
            read_key(path)


def test_nothing_shows_a_key() -> None:
    key = Key(b"very-secret")
    assert "very-secret" not in f"{key!r} {key!s}"
    assert not hasattr(key, "__dict__")
