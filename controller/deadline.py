"""The time that a call to a device may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.core.errors import DeviceUnreachable


@asynccontextmanager
async def within(device: str, limit_s: float, what: str) -> AsyncIterator[None]:
    """A call to a device that takes longer is given up: `DeviceUnreachable`, whatever came of it."""
    try:
        async with asyncio.timeout(limit_s) as deadline:
            yield
    except TimeoutError:
        if not deadline.expired():
            raise
        raise DeviceUnreachable(device, f"no answer within {limit_s:g} s to {what}") from None
