"""The real store, as one that its process may die before and after each write of."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from simulated_network import SimulatedNetwork
from virtual_time import working

from controller.store import Store

READS = frozenset({"close", "load", "newest_sequence", "events", "lease"})
"""Nothing is different after these; everything else that is to be awaited writes."""
DONE = "the store has done "
COMMITTED = f"{DONE}commit"
"""How the word begins that changes of corridors are stored."""


def mortal(network: SimulatedNetwork, keep_events: int) -> type[Store]:
    """A store whose writes are among the happenings of a network, two for each."""

    def dies_around(name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(method)
        async def call(self: Store, *args: Any, **kwargs: Any) -> Any:
            if name not in READS:
                network.happened(f"the store is about to {name}")
                await network.stall()
            with working():
                result = await method(self, *args, **kwargs)
            if name not in READS:
                network.happened(DONE + name)
                await network.stall()
            return result

        return call

    methods = inspect.getmembers(Store, inspect.isfunction)
    wrapped: dict[str, Any] = {
        name: dies_around(name, each)
        for name, each in methods
        if inspect.iscoroutinefunction(each) and not name.startswith("_")
    }

    async def opened(cls: type[Store], url: str) -> Store:
        with working():
            return await Store.open.__func__(cls, url, keep_events)  # type: ignore[attr-defined]

    return type("MortalStore", (Store,), {**wrapped, "open": classmethod(opened)})
