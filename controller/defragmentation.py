"""Carry a defragmentation out: one move after the other, each checked again and made before its old slices go."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from controller.core.conditions import ConditionType
from controller.core.errors import Conflict, FailedPrecondition, Invalid, Refused
from controller.core.hitless import Occasion
from controller.core.model import EventType
from controller.core.otn.defragment import defragment, is_empty, moved, require_worth
from controller.core.otn.moves import Defragmentation, SliceMove
from controller.core.records import Record
from controller.progress import Progress
from controller.state import NetworkState

MAX_MOVES = 200
"""Of one request: it answers when all are made."""


class Defragmenter:
    """Only ever at somebody's request, and one request at a time."""

    def __init__(self, state: NetworkState, progress: Progress) -> None:
        self._state = state
        self._progress = progress
        self._running = asyncio.Lock()

    async def run(self, max_moves: int, *, validate_only: bool) -> Defragmentation:
        """The plan; unless `validate_only` also its moves, until all are made or one cannot be."""
        if not 1 <= max_moves <= MAX_MOVES:
            raise Invalid.field("max_moves", f"must be 1 to {MAX_MOVES}")
        plan = defragment(self._state.snapshot(), max_moves)
        if validate_only:
            return plan
        if self._running.locked():
            raise Conflict("a defragmentation is under way", reason="CHANGE_UNDER_WAY")
        async with self._running:
            return await self._carried_out(defragment(self._state.snapshot(), max_moves))

    async def _carried_out(self, plan: Defragmentation) -> Defragmentation:
        stopped = ""
        for number, move in enumerate(plan.moves):
            try:
                await self._make(plan, number, move)
            except Refused as refusal:
                stopped = f"{move.corridor}: {refusal.message}"
                break
            plan = replace(plan, moves=_with_done(plan.moves, number))
        ledger = self._state.snapshot().ledger
        return replace(plan, freed=tuple(each for each in plan.freed if is_empty(ledger, each)), stopped=stopped)

    async def _make(self, plan: Defragmentation, number: int, move: SliceMove) -> None:
        async with self._progress.undisturbed(move.corridor):
            snapshot = self._state.snapshot()
            require_worth(snapshot, plan, number)
            change = moved(snapshot, move)
            await self._progress.begin(change, EventType.UPDATED, Occasion.DEFRAGMENTED)
        await self._progress.finished(move.corridor)
        record = self._state.records.get(move.corridor)
        if record is None or _slices(record) != _slices(change.record):
            raise FailedPrecondition(f"was not moved{_why(record)}", reason="NOT_MOVED")


def _slices(record: Record) -> tuple[int, ...]:
    return tuple(part.id for part in record.target.leg.slices) if record.target else ()


def _why(record: Record | None) -> str:
    told = (
        [each.message for each in record.corridor.conditions if each.type == ConditionType.ROLLED_BACK]
        if record
        else []
    )
    return f": {'; '.join(told)}" if told else ""


def _with_done(moves: tuple[SliceMove, ...], number: int) -> tuple[SliceMove, ...]:
    return (*moves[:number], replace(moves[number], done=True), *moves[number + 1 :])
