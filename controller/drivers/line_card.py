"""The controller's end of an OTN node's line-card program."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from typing import TypeAlias

import grpc

from controller.core.entries import Change, Entry, Operation, ProtectionGroup, Rejection, SlotAssignment
from controller.core.errors import DeviceUnreachable
from controller.drivers.device import Committed, ResizeRefused, Selector
from controller.linecard.gen import line_card_pb2 as pb
from controller.linecard.gen import line_card_pb2_grpc

CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_http_proxy", 0),
)
TRANSIENT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)
REFUSALS = frozenset(
    {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}
)
"""Of a command about a slice's size."""
WATCH_AGAIN_S = 0.2

Kept: TypeAlias = SlotAssignment | ProtectionGroup
"""Entries that an OTN node keeps in its line card."""

log = logging.getLogger(__name__)


class LineCard:
    """One node's line card by gRPC. To be made in the event loop."""

    def __init__(self, node: str, address: str, epoch: int, deadline_s: float) -> None:
        self._node = node
        self._epoch = epoch
        self._deadline_s = deadline_s
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub = line_card_pb2_grpc.LineCardStub(self._channel)  # type: ignore[no-untyped-call]
        self._version: int | None = None

    async def read(self) -> dict[Hashable, Entry]:
        """Slots and protection groups; from here on a controller of an older epoch changes nothing any more.

        Raises `DeviceUnreachable`, also where a newer controller has read it.
        """
        try:
            await self._stub.Apply(pb.ApplyRequest(epoch=self._epoch), timeout=self._deadline_s)
            table = await self._stub.GetSlotTable(pb.GetSlotTableRequest(), timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            raise self._unreachable(error) from None
        self._version = table.version
        kept: list[Kept] = [_assignment(held) for held in table.holdings]
        kept += [_protection_group(group) for group in table.protections]
        return {entry.key: entry for entry in kept}

    async def apply(self, changes: Sequence[Change]) -> list[Rejection]:
        """One batch, planned on the table as it was last read or written: the program may have been restarted since."""
        request = pb.ApplyRequest(epoch=self._epoch, changes=[_slot_change(change) for change in changes])
        if self._version is not None:
            request.expected_version = self._version
        try:
            answer = await self._stub.Apply(request, timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            self._version = None
            return [_rejection(change, error) for change in changes]
        self._version = answer.version
        return [_refused_item(changes[error.index], error) for error in answer.errors]

    async def resize(self, slice_id: int, count: int) -> None:
        """As `SliceResizer.resize`. The handshake is bounded by the line cards themselves."""
        request = pb.ResizeRequest(epoch=self._epoch, slice_id=slice_id, target_count=count)
        try:
            async for notice in self._stub.Resize(request):
                if notice.state == pb.ResizeNotice.MODIFIED_OK:
                    return
                if notice.state == pb.ResizeNotice.MODIFY_FAILED:
                    raise ResizeRefused(self._node, notice.reason, notice.message)
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from None
        raise DeviceUnreachable(self._node, "line card: the outcome of a resize was not told")

    async def committed(self, slice_id: int) -> Committed | None:
        """As `SliceResizer.committed`."""
        try:
            size = await self._stub.GetSlice(pb.GetSliceRequest(slice_id=slice_id), timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise self._unreachable(error) from None
        return Committed(size.forward_count, size.reverse_count, size.modifying)

    async def force(self, slice_id: int, count: int) -> None:
        """As `SliceResizer.force`."""
        request = pb.ForceSizeRequest(epoch=self._epoch, slice_id=slice_id, count=count)
        try:
            await self._stub.ForceSize(request, timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from None

    async def watch_protection(self, moved: Callable[[Selector], None]) -> None:
        """Runs for ever; tells every selector whenever the program is found, and then each that moves."""
        while True:
            try:
                async for status in self._stub.WatchProtection(pb.WatchProtectionRequest(), wait_for_ready=True):
                    moved(_selector(status))
            except grpc.aio.AioRpcError as error:
                log.info("%s: selectors are not watched: %s", self._node, error.details())
            await asyncio.sleep(WATCH_AGAIN_S)

    async def watch(self, returned: Callable[[], None]) -> None:
        """Runs for ever; calls `returned` whenever the program answers again after it was lost."""
        lost = False
        state = self._channel.get_state(try_to_connect=True)
        while True:
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.READY and lost:
                lost = False
                returned()
            elif state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.IDLE):
                lost = True

    async def close(self) -> None:
        await self._channel.close(grace=None)

    def _unreachable(self, error: grpc.aio.AioRpcError) -> DeviceUnreachable:
        return DeviceUnreachable(self._node, f"line card: {error.details()}")

    def _failure(self, error: grpc.aio.AioRpcError) -> DeviceUnreachable | ResizeRefused:
        if error.code() in REFUSALS:
            return ResizeRefused(self._node, error.code().name, f"line card: {error.details()}")
        return self._unreachable(error)


def _assignment(held: pb.Holding) -> SlotAssignment:
    return SlotAssignment(
        held.slice_id, held.line_port, held.server, tuple(held.slots), held.active_count, held.slot_bps
    )


def _protection_group(group: pb.ProtectionGroup) -> ProtectionGroup:
    return ProtectionGroup(group.working, group.protection, group.direction, group.working_port, group.protection_port)


def _selector(status: pb.ProtectionStatus) -> Selector:
    return Selector(
        status.working,
        status.on_protection,
        status.working_ok,
        status.protection_ok,
        status.reason,
        status.far_end_silent,
    )


def _slot_change(change: Change) -> pb.SlotChange:
    entry, gone = change.entry, change.operation is Operation.DELETE
    if isinstance(entry, ProtectionGroup):
        return pb.SlotChange(unprotect=entry.working) if gone else pb.SlotChange(protect=_group_message(entry))
    assert isinstance(entry, SlotAssignment)
    if gone:
        return pb.SlotChange(delete=pb.HoldingKey(slice_id=entry.slice_id, line_port=entry.line_port))
    held = pb.Holding(
        slice_id=entry.slice_id,
        line_port=entry.line_port,
        server=entry.server,
        slots=entry.slots,
        active_count=entry.active,
        slot_bps=entry.slot_bps,
    )
    return pb.SlotChange(set=held)


def _group_message(group: ProtectionGroup) -> pb.ProtectionGroup:
    return pb.ProtectionGroup(
        working=group.working,
        protection=group.protection,
        direction=group.direction,
        working_port=group.working_port,
        protection_port=group.protection_port,
    )


def _rejection(change: Change, error: grpc.aio.AioRpcError) -> Rejection:
    code = error.code()
    return Rejection(change, code.name, f"line card: {error.details()}", code in TRANSIENT)


def _refused_item(change: Change, error: pb.ChangeError) -> Rejection:
    """A slot that another slice holds may be free soon: its holder may be on its way out. A switch comes back."""
    transient = error.code in ("FAILED_PRECONDITION", "UNAVAILABLE")
    return Rejection(change, error.code, f"line card: {error.message}", transient)
