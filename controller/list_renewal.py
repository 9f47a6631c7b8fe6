"""Segment lists that routes wait for, encoded anew: the same path, by a list that keeps to it before and after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Set

from controller.background import background, stopped
from controller.core.errors import Conflict, Infeasible, Refused
from controller.core.model import EventType
from controller.core.plan import plan
from controller.core.records import paths_of
from controller.progress import Progress
from controller.state import NetworkState

log = logging.getLogger(__name__)

RETRY_S = 1.0
"""Between two tries of a list that could not be encoded, or that another controller forestalled."""


class ListRenewal:
    """Routes wait for the lists that would leave their path. Who is looked after moves, and with it its lists."""

    def __init__(
        self, state: NetworkState, progress: Progress, cut: Callable[[str], bool], in_hand: Set[str] = frozenset()
    ) -> None:
        """`cut`: whether a corridor's path is down; `in_hand`: corridors that a restoration looks after now."""
        self._state = state
        self._progress = progress
        self._cut = cut
        self._in_hand = in_hand
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """By corridor."""

    def begin(self) -> None:
        """Of all lists that routes wait for now, those that nobody is at."""
        for name in sorted(self._state.leaving - self._tasks.keys() - self._in_hand):
            self._tasks[name] = background(self._renew_until_done(name), "renewal of segment lists")

    async def close(self) -> None:
        await stopped([*self._tasks.values()])

    async def _renew_until_done(self, name: str) -> None:
        try:
            await self._renew(name)
        finally:
            del self._tasks[name]

    async def _renew(self, name: str) -> None:
        """The same path by lists that keep to it under the old routes and the new; tried until routes need not wait."""
        said = ""
        while name in self._state.leaving and not self._cut(name):
            try:
                await self._renewed(name)
            except (Conflict, Refused) as refusal:
                if str(refusal) != said:
                    log.warning("%s: routes wait for its segment lists: %s", name, refusal)
                said = str(refusal)
            if name in self._state.leaving:
                await asyncio.sleep(RETRY_S)

    async def _renewed(self, name: str) -> None:
        """Another list, never another path: whoever would have to move for it stays, and routes wait."""
        async with self._progress.undisturbed(name):
            record = self._state.records.get(name)
            if record is None or record.target is None or name not in self._state.leaving or self._cut(name):
                return
            topology = self._state.topology
            paths = paths_of(record.target.leg)
            if not all(topology.usable(topology.links[link]) for links in paths for link in links):
                return  # not known to be up: that will be heard of
            change = plan(self._state.snapshot().where_it_stands(name), record.corridor)
            assert change.record.target is not None
            if paths_of(change.record.target.leg) != paths:
                raise Infeasible("its path serves no longer what is asked of it", reason="WOULD_MOVE")
            await self._progress.begin(change, EventType.UPDATED)
        await self._progress.finished(name)
