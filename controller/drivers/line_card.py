"""The controller's end of an OTN node's line-card program."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import grpc

from controller.core.entries import Change, Operation, Rejection, SlotAssignment
from controller.core.errors import DeviceUnreachable
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


class LineCard:
    """One node's slot table by gRPC. To be made in the event loop."""

    def __init__(self, node: str, address: str, epoch: int, deadline_s: float) -> None:
        self._node = node
        self._epoch = epoch
        self._deadline_s = deadline_s
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub = line_card_pb2_grpc.LineCardStub(self._channel)  # type: ignore[no-untyped-call]
        self._version: int | None = None

    async def read(self) -> dict[Hashable, SlotAssignment]:
        """The slot table. Raises `DeviceUnreachable`."""
        try:
            table = await self._stub.GetSlotTable(pb.GetSlotTableRequest(), timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            raise DeviceUnreachable(self._node, f"line card: {error.details()}") from None
        self._version = table.version
        return {entry.key: entry for entry in map(_assignment, table.holdings)}

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


def _assignment(held: pb.Holding) -> SlotAssignment:
    return SlotAssignment(held.slice_id, held.line_port, held.server, tuple(held.slots), held.active_count)


def _slot_change(change: Change) -> pb.SlotChange:
    entry = change.entry
    assert isinstance(entry, SlotAssignment)
    if change.operation is Operation.DELETE:
        return pb.SlotChange(delete=pb.HoldingKey(slice_id=entry.slice_id, line_port=entry.line_port))
    held = pb.Holding(
        slice_id=entry.slice_id,
        line_port=entry.line_port,
        server=entry.server,
        slots=entry.slots,
        active_count=entry.active,
    )
    return pb.SlotChange(set=held)


def _rejection(change: Change, error: grpc.aio.AioRpcError) -> Rejection:
    code = error.code()
    return Rejection(change, code.name, f"line card: {error.details()}", code in TRANSIENT)


def _refused_item(change: Change, error: pb.ChangeError) -> Rejection:
    """A slot that another slice holds may be free soon: its holder may be on its way out."""
    return Rejection(change, error.code, f"line card: {error.message}", error.code == "FAILED_PRECONDITION")
