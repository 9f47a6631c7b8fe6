"""The gRPC face of the slot table, with fencing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import grpc

from controller.linecard.gen import line_card_pb2 as pb
from controller.linecard.gen import line_card_pb2_grpc
from controller.linecard.slot_table import Holding, HoldingKey, SlotChange, SlotTable

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class LineCardService(line_card_pb2_grpc.LineCardServicer):
    """One node's line card. State is in memory: a restart is empty and is filled again by the controller."""

    def __init__(self, node: str, table: SlotTable) -> None:
        self._node = node
        self._table = table
        self._epoch = 0

    async def GetSlotTable(  # noqa: N802
        self, request: pb.GetSlotTableRequest, context: Context
    ) -> pb.SlotTable:
        sizes = self._table.sizes
        return pb.SlotTable(
            node=self._node,
            version=self._table.version,
            holdings=[holding_message(holding) for holding in self._table.holdings],
            servers=[pb.ServerSize(line_port=port, server=name, slots=n) for (port, name), n in sorted(sizes.items())],
        )

    async def Apply(  # noqa: N802
        self, request: pb.ApplyRequest, context: Context
    ) -> pb.ApplyResponse:
        await self._fence(request, context)
        errors = self._table.apply(changes_of(request.changes))
        return pb.ApplyResponse(
            version=self._table.version,
            errors=[pb.ChangeError(index=e.index, code=e.code, message=e.message) for e in errors],
        )

    async def _fence(self, request: pb.ApplyRequest, context: Context) -> None:
        if request.epoch < self._epoch:
            message = f"epoch {request.epoch} is fenced off by {self._epoch}"
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, message)
        self._epoch = request.epoch
        version = self._table.version
        if request.HasField("expected_version") and request.expected_version != version:
            message = f"the table's version is {version}, not {request.expected_version}"
            await context.abort(grpc.StatusCode.ABORTED, message)


def holding_message(holding: Holding) -> pb.Holding:
    return pb.Holding(
        slice_id=holding.slice_id,
        line_port=holding.line_port,
        server=holding.server,
        slots=holding.slots,
        active_count=holding.active,
    )


def changes_of(messages: Sequence[pb.SlotChange]) -> list[SlotChange]:
    """A change with neither field set becomes a holding without slots, which the table refuses by its index."""
    return [_change_of(message) for message in messages]


def _change_of(message: pb.SlotChange) -> SlotChange:
    if message.WhichOneof("change") == "delete":
        return HoldingKey(message.delete.slice_id, message.delete.line_port)
    held = message.set
    return Holding(held.slice_id, held.line_port, held.server, tuple(held.slots), held.active_count)
