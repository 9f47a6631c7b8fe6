from __future__ import annotations

import time
from collections.abc import Callable


def until(met: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
    """Wait for a condition; asking it is what takes the time."""
    deadline = time.monotonic() + timeout
    while not met():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.02)
