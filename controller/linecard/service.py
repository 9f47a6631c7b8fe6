"""The gRPC face of a line card, with fencing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn, TypeAlias

import grpc

from controller.linecard.card import LineCard
from controller.linecard.gen import line_card_pb2 as pb
from controller.linecard.gen import line_card_pb2_grpc
from controller.linecard.messages import changes_of, group_message, holding_message, notice_message, status_message
from controller.linecard.parts import parts
from controller.linecard.resize_values import ResizeState
from controller.linecard.slot_table import SlotError

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class LineCardService(line_card_pb2_grpc.LineCardServicer):
    """Every command of a controller that another has taken over from is refused."""

    def __init__(self, card: LineCard) -> None:
        self._card = card
        self._table = card.table
        self._epoch = 0
        self._batch = asyncio.Lock()
        """While a batch is applied, or the table read: both let others run in between."""

    async def GetSlotTable(  # noqa: N802
        self, request: pb.GetSlotTableRequest, context: Context
    ) -> pb.SlotTable:
        sizes = self._table.sizes
        async with self._batch:
            held = [
                holding_message(holding, self._sizes(holding.slice_id))
                async for part in parts(self._table.holdings)
                for holding in part
            ]
            return pb.SlotTable(
                node=self._card.node,
                version=self._table.version,
                holdings=held,
                servers=[pb.ServerSize(line_port=at, server=name, slots=n) for (at, name), n in sorted(sizes.items())],
                protections=[group_message(group) for group in self._card.protections],
            )

    async def Apply(  # noqa: N802
        self, request: pb.ApplyRequest, context: Context
    ) -> pb.ApplyResponse:
        changes = [change async for part in parts(request.changes) for change in changes_of(part)]
        async with self._batch:
            await self._check_epoch(request.epoch, context)
            version = self._table.version
            if request.HasField("expected_version") and request.expected_version != version:
                message = f"the table's version is {version}, not {request.expected_version}"
                await context.abort(grpc.StatusCode.ABORTED, message)
            refused = await self._card.apply(changes)
            version = self._table.version
        errors = sorted([*refused, *await self._card.unconfirmed(changes)], key=lambda error: error.index)
        return pb.ApplyResponse(
            version=version,
            errors=[pb.ChangeError(index=e.index, code=e.code, message=e.message) for e in errors],
        )

    async def GetSlice(  # noqa: N802
        self, request: pb.GetSliceRequest, context: Context
    ) -> pb.SliceSize:
        size = self._size(request.slice_id)
        if size is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no slice {request.slice_id}")
        return size

    async def Resize(  # noqa: N802
        self, request: pb.ResizeRequest, context: Context
    ) -> AsyncIterator[pb.ResizeNotice]:
        await self._fence(request.epoch, context)
        with self._card.resizing.listening(request.slice_id) as notices:
            try:
                self._card.resizing.command(request.slice_id, request.target_count)
            except SlotError as error:
                await _refuse(context, error)
            state = ResizeState.MODIFYING
            while state is ResizeState.MODIFYING:
                notice = await notices.get()
                state = notice.state
                yield notice_message(notice, self._size(request.slice_id))

    async def ForceSize(  # noqa: N802
        self, request: pb.ForceSizeRequest, context: Context
    ) -> pb.SliceSize:
        await self._fence(request.epoch, context)
        try:
            await self._card.resizing.force(request.slice_id, request.count)
        except SlotError as error:
            await _refuse(context, error)
        size = self._size(request.slice_id)
        assert size is not None
        return size

    async def WatchProtection(  # noqa: N802
        self, request: pb.WatchProtectionRequest, context: Context
    ) -> AsyncIterator[pb.ProtectionStatus]:
        with self._card.protection.watching() as statuses:
            while True:
                yield status_message(await statuses.get())

    async def _fence(self, epoch: int, context: Context) -> None:
        """In front of a command, which then finds no batch half applied."""
        async with self._batch:
            await self._check_epoch(epoch, context)

    async def _check_epoch(self, epoch: int, context: Context) -> None:
        if epoch < self._epoch:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"epoch {epoch} is fenced off by {self._epoch}")
        self._epoch = epoch

    def _sizes(self, slice_id: int) -> tuple[int, int]:
        sizes = self._table.committed(slice_id)
        assert sizes is not None
        return sizes

    def _size(self, slice_id: int) -> pb.SliceSize | None:
        committed = self._table.committed(slice_id)
        if committed is None:
            return None
        forward, reverse = committed
        modifying = self._card.resizing.modifying(slice_id)
        return pb.SliceSize(slice_id=slice_id, forward_count=forward, reverse_count=reverse, modifying=modifying)


async def _refuse(context: Context, error: SlotError) -> NoReturn:
    await context.abort(grpc.StatusCode[error.code], error.message)
    raise AssertionError("abort raises")
