"""Fixtures for the tests with live agents."""

from __future__ import annotations

import os

import pytest

from tests.support import live_writer


@pytest.fixture
def node_writer() -> list[str]:
    """The command that starts the writer in Node; skips where it cannot run, unless AML_REQUIRE_NODE is 1."""
    if command := live_writer.node_writer():
        return command
    reason = "node is missing, or AML_TEST_NODE_MODULES names no node_modules with proper-lockfile and pako"
    if os.environ.get("AML_REQUIRE_NODE") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
