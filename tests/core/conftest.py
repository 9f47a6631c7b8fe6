"""Assertions in the shared modules tell as much as those in the tests."""

import pytest

pytest.register_assert_rewrite("journeys", "packet_walk", "bookkeeping")
