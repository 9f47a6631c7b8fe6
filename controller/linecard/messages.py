"""The line card's values as messages of its gRPC contract, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from controller.core.entries import ProtectionGroup
from controller.linecard.gen import line_card_pb2 as pb
from controller.linecard.protection import Status
from controller.linecard.resize_values import Notice, ResizeState
from controller.linecard.slot_table import Holding, HoldingKey, SlotChange, Unprotect

_STATES: Mapping[ResizeState, pb.ResizeNotice.State.ValueType] = MappingProxyType(
    {
        ResizeState.MODIFYING: pb.ResizeNotice.MODIFYING,
        ResizeState.MODIFIED_OK: pb.ResizeNotice.MODIFIED_OK,
        ResizeState.MODIFY_FAILED: pb.ResizeNotice.MODIFY_FAILED,
    }
)


def holding_message(holding: Holding, sizes: tuple[int, int]) -> pb.Holding:
    """`sizes`: slots that carry the slice, A to Z and Z to A."""
    return pb.Holding(
        slice_id=holding.slice_id,
        line_port=holding.line_port,
        server=holding.server,
        slots=holding.slots,
        active_count=sizes[0] if sizes[0] == sizes[1] else 0,
        slot_bps=holding.slot_bps,
    )


def group_message(group: ProtectionGroup) -> pb.ProtectionGroup:
    return pb.ProtectionGroup(
        working=group.working,
        protection=group.protection,
        direction=group.direction,
        working_port=group.working_port,
        protection_port=group.protection_port,
    )


def notice_message(notice: Notice, size: pb.SliceSize | None) -> pb.ResizeNotice:
    return pb.ResizeNotice(state=_STATES[notice.state], size=size, reason=notice.reason, message=notice.message)


def status_message(status: Status) -> pb.ProtectionStatus:
    return pb.ProtectionStatus(
        working=status.working,
        on_protection=status.on_protection,
        working_ok=status.working_ok,
        protection_ok=status.protection_ok,
        reason=status.reason,
        far_end_silent=status.far_end_silent,
    )


def changes_of(messages: Sequence[pb.SlotChange]) -> list[SlotChange]:
    """A change with no field set becomes a holding without slots, which the table refuses by its index."""
    return [_change_of(message) for message in messages]


def _change_of(message: pb.SlotChange) -> SlotChange:
    match message.WhichOneof("change"):
        case "delete":
            return HoldingKey(message.delete.slice_id, message.delete.line_port)
        case "protect":
            group = message.protect
            return ProtectionGroup(
                group.working, group.protection, group.direction, group.working_port, group.protection_port
            )
        case "unprotect":
            return Unprotect(message.unprotect)
    held = message.set
    return Holding(held.slice_id, held.line_port, held.server, tuple(held.slots), held.active_count, held.slot_bps)
