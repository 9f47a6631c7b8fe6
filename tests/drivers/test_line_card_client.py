"""The controller's end of a line card, against one of a few lines: what it asks, and what it makes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from waiting import until

from controller.core.entries import Change, Operation, ProtectionGroup, SlotAssignment
from controller.core.errors import DeviceUnreachable
from controller.drivers.device import Committed, ResizeRefused, Selector
from controller.drivers.line_card import LineCard
from controller.linecard.gen import line_card_pb2 as pb
from controller.linecard.gen import line_card_pb2_grpc
from controller.linecard.messages import changes_of, holding_message
from controller.linecard.slot_table import Holding

MODIFYING, OK, FAILED = (pb.ResizeNotice.State.Value(s) for s in ("MODIFYING", "MODIFIED_OK", "MODIFY_FAILED"))


class FakeLineCard(line_card_pb2_grpc.LineCardServicer):
    """Answers as it is told; everything it was asked is in `heard`."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.table = pb.SlotTable()
        self.errors: list[pb.ChangeError] = []
        self.notices: list[pb.ResizeNotice] = []
        self.size: pb.SliceSize | None = None
        self.refuses: grpc.StatusCode | None = None
        self.hangs = False
        self.hung_up = asyncio.Event()
        self.statuses: asyncio.Queue[pb.ProtectionStatus] = asyncio.Queue()

    async def _hear(self, request: Any, context: Any) -> None:
        self.heard.append(request)
        if self.refuses is not None:
            await context.abort(self.refuses, "so it was told")

    async def GetSlotTable(self, request: Any, context: Any) -> pb.SlotTable:  # noqa: N802
        return self.table

    async def Apply(self, request: Any, context: Any) -> pb.ApplyResponse:  # noqa: N802
        await self._hear(request, context)
        return pb.ApplyResponse(version=1, errors=self.errors)

    async def GetSlice(self, request: Any, context: Any) -> pb.SliceSize:  # noqa: N802
        await self._hear(request, context)
        assert self.size is not None
        return self.size

    async def ForceSize(self, request: Any, context: Any) -> pb.SliceSize:  # noqa: N802
        await self._hear(request, context)
        return pb.SliceSize()

    async def Resize(self, request: Any, context: Any) -> AsyncIterator[pb.ResizeNotice]:  # noqa: N802
        await self._hear(request, context)
        for notice in self.notices:
            yield notice
        if self.hangs:
            try:
                await asyncio.Event().wait()
            finally:
                self.hung_up.set()

    async def WatchProtection(self, request: Any, context: Any) -> AsyncIterator[pb.ProtectionStatus]:  # noqa: N802
        while True:
            yield await self.statuses.get()


class Bench:
    """A line card's address, and the driver's end of it."""

    def __init__(self, directory: Path) -> None:
        self.address = f"unix:{directory}/card.sock"
        self.card = FakeLineCard()
        self.driver = LineCard("yz-o", self.address, 7, 2.0)
        self.server: grpc.aio.Server

    async def start(self) -> None:
        self.server = grpc.aio.server()
        line_card_pb2_grpc.add_LineCardServicer_to_server(self.card, self.server)  # type: ignore[no-untyped-call]
        self.server.add_insecure_port(self.address)
        await self.server.start()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    await made.start()
    yield made
    await made.driver.close()
    await made.server.stop(0)


async def test_slots_and_groups_are_written_and_read_in_their_order(bench: Bench) -> None:
    slots, group = SlotAssignment(7, 2, "odu1-1", (5, 6, 1), 2, 1_234), ProtectionGroup(7, 8, 1, 2, 3)
    wanted = [Change(Operation.INSERT, slots), Change(Operation.MODIFY, group)]
    gone = [Change(Operation.DELETE, group), Change(Operation.DELETE, slots)]
    assert await bench.driver.apply([*wanted, *gone]) == []
    (request,) = bench.card.heard
    held, protect, unprotect, delete = request.changes
    assert request.epoch == 7
    assert held.set == pb.Holding(
        slice_id=7, line_port=2, server="odu1-1", slots=[5, 6, 1], active_count=2, slot_bps=1_234
    )
    assert protect.protect == pb.ProtectionGroup(
        working=7, protection=8, direction=1, working_port=2, protection_port=3
    )
    assert (unprotect.unprotect, delete.delete) == (7, pb.HoldingKey(slice_id=7, line_port=2))
    bench.card.table = pb.SlotTable(version=3, holdings=[held.set], protections=[protect.protect])
    assert await bench.driver.read() == {slots.key: slots, group.key: group}


async def test_the_largest_slot_fits_every_message(bench: Bench) -> None:
    """An ODUC slot of a line carries more than 2^32 bit/s."""
    slots = SlotAssignment(7, 2, "line", (1, 2), 2, 5_183_568_247)
    assert await bench.driver.apply([Change(Operation.INSERT, slots)]) == []
    (held,) = changes_of(bench.card.heard[0].changes)
    assert isinstance(held, Holding)
    assert held.slot_bps == 5_183_568_247
    bench.card.table = pb.SlotTable(holdings=[holding_message(held, (2, 2))])
    assert await bench.driver.read() == {slots.key: slots}


@pytest.mark.parametrize(
    ("code", "transient"),
    [("INVALID_ARGUMENT", False), ("OUT_OF_RANGE", False), ("FAILED_PRECONDITION", True), ("UNAVAILABLE", True)],
)
async def test_what_may_come_about_soon_is_tried_again(bench: Bench, code: str, transient: bool) -> None:
    """Another slice's slots are freed, a selector is set when the switch is back; nonsense stays nonsense."""
    changes = [Change(Operation.INSERT, ProtectionGroup(number, 8, 1, 2, 3)) for number in (7, 9)]
    bench.card.errors = [pb.ChangeError(index=1, code=code)]
    (rejection,) = await bench.driver.apply(changes)
    assert (rejection.change, rejection.code, rejection.transient) == (changes[1], code, transient)


async def test_to_read_fences_off_whoever_was_there_before(bench: Bench) -> None:
    await bench.driver.read()
    assert bench.card.heard == [pb.ApplyRequest(epoch=7)]
    bench.card.refuses = grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(DeviceUnreachable, match="so it was told"):
        await bench.driver.read()


async def test_a_resize_ends_with_the_word_that_it_is_through(bench: Bench) -> None:
    bench.card.notices = [pb.ResizeNotice(state=MODIFYING), pb.ResizeNotice(state=OK)]
    bench.card.hangs = True  # nobody waits for more than the outcome
    await bench.driver.resize(7, 11)
    assert bench.card.heard == [pb.ResizeRequest(epoch=7, slice_id=7, target_count=11)]


@pytest.mark.parametrize("reason", ["REJECTED", "TIMEOUT", "ONE_SIDED"])
async def test_a_resize_that_failed_says_why(bench: Bench, reason: str) -> None:
    bench.card.notices = [
        pb.ResizeNotice(state=MODIFYING),
        pb.ResizeNotice(state=FAILED, reason=reason, message="at the third hop"),
    ]
    with pytest.raises(ResizeRefused, match="yz-o: at the third hop") as refusal:
        await bench.driver.resize(7, 11)
    assert refusal.value.reason == reason


@pytest.mark.parametrize("status", ["PERMISSION_DENIED", "NOT_FOUND", "FAILED_PRECONDITION"])
@pytest.mark.parametrize("command", ["resize", "force"])
async def test_a_command_that_is_refused_says_so(bench: Bench, command: str, status: str) -> None:
    bench.card.refuses = grpc.StatusCode[status]
    with pytest.raises(ResizeRefused, match="so it was told") as refusal:
        await getattr(bench.driver, command)(7, 11)
    assert refusal.value.reason == status


async def test_an_outcome_that_is_not_told_is_none(bench: Bench) -> None:
    bench.card.notices = [pb.ResizeNotice(state=MODIFYING)]
    with pytest.raises(DeviceUnreachable):
        await bench.driver.resize(7, 11)


async def test_whoever_stops_waiting_hangs_up(bench: Bench) -> None:
    bench.card.hangs = True
    waiting = asyncio.ensure_future(bench.driver.resize(7, 11))
    await until(lambda: bench.card.heard, "it is commanded")
    waiting.cancel()
    await asyncio.wait({waiting})
    async with asyncio.timeout(5):
        await bench.card.hung_up.wait()


async def test_sizes_are_read_back_and_forced(bench: Bench) -> None:
    bench.card.size = pb.SliceSize(slice_id=7, forward_count=11, reverse_count=3, modifying=True)
    assert await bench.driver.committed(7) == Committed(11, 3, True)
    await bench.driver.force(7, 3)
    assert bench.card.heard[-1] == pb.ForceSizeRequest(epoch=7, slice_id=7, count=3)
    bench.card.refuses = grpc.StatusCode.NOT_FOUND
    assert await bench.driver.committed(7) is None


async def test_without_its_program_nothing_is_known(bench: Bench) -> None:
    await bench.server.stop(0)
    for call in (bench.driver.resize(7, 1), bench.driver.force(7, 1), bench.driver.committed(7), bench.driver.read()):
        with pytest.raises(DeviceUnreachable, match="yz-o: line card"):
            await call


async def test_selectors_are_heard_of_again_after_the_program_was_away(bench: Bench) -> None:
    heard: list[Selector] = []
    watch = asyncio.create_task(bench.driver.watch_protection(heard.append))
    status = pb.ProtectionStatus(working=7, on_protection=True, protection_ok=True, reason="SIGNAL_FAIL")
    bench.card.statuses.put_nowait(status)
    await until(lambda: heard == [Selector(7, True, False, True, "SIGNAL_FAIL")], "it is told")
    await bench.server.stop(0)
    bench.card.statuses = asyncio.Queue()
    await bench.start()
    bench.card.statuses.put_nowait(pb.ProtectionStatus(working=7, working_ok=True, protection_ok=True))
    await until(lambda: heard[1:] == [Selector(7, False, True, True)], "and again")
    watch.cancel()
    await asyncio.wait({watch})
