"""Waiting for a condition of the world, which nothing signals; a failure names what did not come about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

POLL_S = 0.005


async def until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait while the event loop goes on."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - the conditions are not ours to signal
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        pytest.fail(f"waited {seconds} s: {what}")


def wait_until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Wait in a test that has no event loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s: {what}")
        time.sleep(POLL_S)
