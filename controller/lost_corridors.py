"""Corridors that nothing carries any more: where they go, the most important first, many in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from controller.core.batch import Batch
from controller.core.conditions import ConditionType, with_condition, without_condition
from controller.core.errors import Conflict, Infeasible, Refused
from controller.core.hitless import plan_anew
from controller.core.lifecycle import Happening, after
from controller.core.model import Corridor, Protection, Stage
from controller.core.plan import Plan, advance, moved
from controller.core.protection import EXPOSED, SWITCHED, Service, links_down
from controller.core.records import Record, same_ways
from controller.core.snapshot import Snapshot
from controller.judgement import Judgement
from controller.progress import Progress
from controller.state import NetworkState

log = logging.getLogger(__name__)

FIRST_PORTION_S, LAST_PORTION_S = 0.05, 0.4
"""Of planning: what was planned by then is stored and goes to the devices before the next is planned. The most
important are on their way early; for the rest, a transaction of many costs less than many."""


class LostCorridors:
    """Plans their moves; whoever finds no path is said to be down, with the reason."""

    def __init__(self, state: NetworkState, progress: Progress, judgement: Judgement) -> None:
        self._state = state
        self._progress = progress
        self._judgement = judgement

    async def move_all(self, names: Iterable[str]) -> None:
        """In this order, each on what those before leave; those that are settled, and that nothing stands in for
        or whose links are down over both ways.

        The rest, and what another controller forestalls, is left to whoever looks after each of them.
        """
        left, portion_s = deque(names), FIRST_PORTION_S
        while left:
            try:
                async with self._state.writer:
                    changes = self._portion(left, portion_s)
                    portion_s = min(2 * portion_s, LAST_PORTION_S)
                    if changes:
                        await self._progress.begin_all(changes)
            except Conflict as busy:
                log.warning("%s; corridors are looked after one by one", busy)
                return

    def answer(self, snapshot: Snapshot, record: Record) -> Plan | None:
        """Its move under the same promise, the old path claimed until traffic has left it; or what is said of it.

        None where nothing is to be said that is not said already.
        """
        assert record.target is not None
        reason = self._judgement.loss(record)
        corridor = replace(record.corridor, state=after(record.corridor.state, Happening.PATH_LOST))
        for kind in (SWITCHED, EXPOSED):  # no slice carries the traffic any more
            corridor = without_condition(corridor, kind)
        if corridor.protection is Protection.UNPROTECTED:
            return _said(snapshot, record, corridor, "UNPROTECTED", reason)
        suspects = self._judgement.suspects(record)
        cut = links_down(snapshot.topology, record.target)
        around = snapshot.without(suspects) if suspects and cut else snapshot  # where none is cut, it waits for probes
        try:
            change = _elsewhere(around, _lost(snapshot, corridor, "RESTORING", reason))
        except Refused as refusal:
            if suspects:  # there may be a path over them, but headends know it to be dead
                return _said(snapshot, record, corridor, "SIGNAL_FAIL", reason)
            why = refusal.reason if isinstance(refusal, Infeasible) else "REFUSED"
            return _said(snapshot, record, corridor, why, f"{reason}; {refusal}")
        new = change.record.target
        sure = record.target.slice is not None or record.target.stood_in_for
        if sure and new is not None and same_ways(new, record.target):
            # Its links are up: it is back when line cards or headends hear something.
            return _said(snapshot, record, corridor, "SIGNAL_FAIL", reason)
        return change

    def _portion(self, left: deque[str], portion_s: float) -> list[Plan]:
        """Under the writer."""
        clock = asyncio.get_running_loop().time
        batch, end = Batch(self._state.snapshot()), clock() + portion_s
        while left and (not batch.plans or clock() < end):
            record = self._state.records.get(left.popleft())
            if record is None or not self._is_ready(record):
                continue
            change = self.answer(batch.snapshot, record)
            if change is not None:
                batch.add(change)
        return batch.plans

    def _is_ready(self, record: Record) -> bool:
        if record.stage is not Stage.SETTLED or record.target is None:
            return False
        if record.target.stood_in_for:
            return self._judgement.dark(record)
        return self._judgement.service(record) is Service.LOST


def _elsewhere(snapshot: Snapshot, corridor: Corridor) -> Plan:
    try:
        return moved(snapshot, corridor)
    except Refused:
        return plan_anew(snapshot, corridor)


def _said(snapshot: Snapshot, record: Record, corridor: Corridor, why: str, text: str) -> Plan | None:
    corridor = _lost(snapshot, corridor, why, text)
    if corridor == record.corridor:
        return None
    return advance(snapshot, record, replace(record, corridor=replace(corridor, update_time=snapshot.now)))


def _lost(snapshot: Snapshot, corridor: Corridor, why: str, text: str) -> Corridor:
    return with_condition(corridor, ConditionType.PATH_LOST, True, why, text, snapshot.now)
