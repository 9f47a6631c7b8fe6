"""An event loop whose clock jumps to the next timer when nothing is left to do: a test waits for no second.

While a database works in a thread of its own (`working`), time goes on as it does outside, for nobody knows how long
that takes.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SLICE_S = 0.01
"""Of real time, while something outside the loop is waited for."""
IDLE_S = 30.0
"""Of real time without any timer, task or thread that has something to say: nobody ever will."""


class _Jumping(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualTimeLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert self.loop is not None
        if timeout is None:
            found = super().select(IDLE_S)
            if not found:
                raise RuntimeError("the loop waits for nothing")
            return found
        found = super().select(min(timeout, SLICE_S) if self.loop.busy else 0)
        if not found and timeout > 0:
            self.loop.now += min(timeout, SLICE_S) if self.loop.busy else timeout
        return found


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`now`: seconds since it began, by its own clock."""

    def __init__(self) -> None:
        selector = _Jumping()
        super().__init__(selector)
        selector.loop = self
        self.now = 0.0
        self.busy = 0

    def time(self) -> float:
        return self.now


@contextmanager
def working() -> Iterator[None]:
    """Something outside the loop is at work, and will tell it."""
    loop: Any = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        yield
        return
    loop.busy += 1
    try:
        yield
    finally:
        loop.busy -= 1
