"""Line cards joined in memory: real meters change when the switch confirms, and frames leave only after that."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from controller.background import background, stopped
from controller.linecard.frames import payload
from controller.linecard.resize import ResizeNode
from controller.linecard.resize_values import Notice, ResizeState, Timing
from controller.linecard.resizing import Resizing
from controller.linecard.slot_table import Holding, SlotTable

SLICE, NODES, UP, DOWN = 7, 4, 2, 3
"""Every node has line port 2 towards A and 3 towards Z."""


@dataclass
class Chain:
    """What the meters let through, by node and direction."""

    meters: list[list[int]]
    tables: list[SlotTable]
    seed: int = 1
    refusing: set[int] = field(default_factory=set)
    """Nodes whose switch does not answer."""
    frames: int = 0
    cards: list[Resizing] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    async def confirm(self, node: int) -> bool:
        """As a switch does: some time later, and one direction after the other."""
        if node in self.refusing:
            return False
        for direction in (0, 1):
            await asyncio.sleep(self.random.choice((0, 0.001, 0.003)))
            self.meters[node][direction] = self.tables[node].committed(SLICE)[direction]
            self.check()
        return True

    def check(self) -> None:
        """Nothing that a meter lets in is dropped by the next."""
        forward, reverse = ([meters[direction] for meters in self.meters] for direction in (0, 1))
        assert forward == sorted(forward)
        assert reverse == sorted(reverse, reverse=True)

    def transmit(self, node: int, port: int, data: bytes) -> None:
        self.frames += 1
        self.times.append(asyncio.get_running_loop().time())
        there, at = (node - 1, DOWN) if port == UP else (node + 1, UP)
        asyncio.get_running_loop().call_soon(self.cards[there].received, at, payload(data))

    async def resize(self, count: int) -> Notice:
        with self.cards[0].listening(SLICE) as notices:
            self.cards[0].command(SLICE, count)
            async with asyncio.timeout(20):
                while (notice := await notices.get()).state is ResizeState.MODIFYING:
                    pass
        return notice


def table_of(node: int, active: int) -> SlotTable:
    ports = [port for port in (UP, DOWN) if (node, port) not in ((0, UP), (NODES - 1, DOWN))]
    slots = {UP: range(100 * node + 1, 100 * node + 101), DOWN: range(100 * node + 101, 100 * node + 201)}
    table = SlotTable()
    held = [Holding(SLICE, port, "odu2:1-8", tuple(slots[port]), active, 10**7) for port in ports]
    assert table.apply(held) == ()
    return table


@asynccontextmanager
async def chain(active: int, step_s: float = 0.0, seed: int = 1, retry_s: float = 1.0) -> AsyncIterator[Chain]:
    tables = [table_of(node, active) for node in range(NODES)]
    made = Chain([[active, active] for _ in tables], tables, seed)
    for number, table in enumerate(tables):
        machine = ResizeNode(f"n{number}", table, 1, Timing(retry_s=retry_s, attempts=2))
        made.cards.append(
            Resizing(
                machine,
                lambda port, data, node=number: made.transmit(node, port, data),
                lambda _, node=number: made.confirm(node),
                step_s,
            )
        )
    running = [background(card.run(), "card") for card in made.cards]
    try:
        yield made
    finally:
        for card in made.cards:
            card.close()
        failures = [task.exception() for task in running if task.done() and not task.cancelled()]
        await stopped(running)
        assert failures == []


@pytest.mark.parametrize("seed", range(3))
async def test_meters_never_drop_what_the_one_before_lets_in(seed: int) -> None:
    async with chain(10, seed=seed) as made:
        for count in (random.Random(seed).randint(1, 100) for _ in range(12)):
            assert (await made.resize(count)).state is ResizeState.MODIFIED_OK
            assert made.meters == [[count, count]] * NODES


async def test_a_switch_that_does_not_answer_holds_its_frames_back_and_all_is_taken_back() -> None:
    async with chain(10, retry_s=0.1) as made:
        made.refusing.add(2)
        assert (await made.resize(20)).state is ResizeState.MODIFY_FAILED
        assert sizes(made.tables) == {(10, 10)}
        made.refusing.clear()
        assert (await made.resize(20)).state is ResizeState.MODIFIED_OK
        assert made.meters == [[20, 20]] * NODES


async def test_each_frame_leaves_a_step_later() -> None:
    step = 0.01
    async with chain(10, step) as made:
        assert (await made.resize(20)).state is ResizeState.MODIFIED_OK
        assert made.frames == len(made.times)
        gaps = [after - before for before, after in zip(made.times, made.times[1:], strict=False)]
        assert min(gaps) >= step - 0.001


def sizes(tables: Sequence[SlotTable]) -> set[tuple[int, int] | None]:
    return {table.committed(SLICE) for table in tables}


async def test_a_notice_is_not_for_those_who_listen_later() -> None:
    async with chain(10) as made:
        first = asyncio.create_task(made.resize(20))
        await asyncio.sleep(0)
        with made.cards[0].listening(SLICE) as early:
            await first
        with made.cards[0].listening(SLICE) as late:
            assert (await made.resize(5)).state is ResizeState.MODIFIED_OK
            assert [late.get_nowait().state for _ in range(2)] == [ResizeState.MODIFYING, ResizeState.MODIFIED_OK]
        assert early.get_nowait().state is ResizeState.MODIFIED_OK
