"""Long work in parts, between which the event loop has its turn: the beat of continuity does not wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

PART = 50
"""Items that are dealt with in about a millisecond."""

T = TypeVar("T")


async def parts(items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """All items in their order, `PART` at a time."""
    for first in range(0, len(items), PART):
        yield items[first : first + PART]
        await asyncio.sleep(0)
