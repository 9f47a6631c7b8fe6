"""The line card's own flows in its node's switch: which path a protected slice takes, and where its frames end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from controller.core.addresses import channel_address, mac_text
from controller.core.entries import ProtectionGroup
from controller.core.otn.marks import COOKIE_MASK, LINE_CARD_TAG, SELECTOR_TABLE, cookie, slice_of
from controller.linecard.frames import ETHERTYPE
from controller.linecard.openflow import Message, coding, ofproto, parser

OAM_PRIORITY, SELECTOR_PRIORITY = 200, 100
"""OAM: above the cross-connects, which would hand the frame to the router."""

FlowKey: TypeAlias = tuple[int, int, int | None, int | None]
"""Table, priority, in port, channel."""


@dataclass(frozen=True, slots=True)
class SelectorFlow:
    """Table 1: a slice's channel to one of its two paths."""

    working: int
    channel: int
    out_port: int
    rewrite: int | None = None
    """On protection: that slice's channel."""

    @property
    def key(self) -> FlowKey:
        return SELECTOR_TABLE, SELECTOR_PRIORITY, None, self.channel


@dataclass(frozen=True, slots=True)
class OamFlow:
    """Table 0: in-band frames of a slice that ends here go no further than the line card."""

    working: int
    in_port: int
    channel: int

    @property
    def key(self) -> FlowKey:
        return 0, OAM_PRIORITY, self.in_port, self.channel


@dataclass(frozen=True, slots=True)
class ClientFlow:
    """Table 0: no in-band frame comes from a client port, whatever channel it is addressed to."""

    in_port: int
    working: ClassVar[int] = 0
    """Of no slice."""

    @property
    def key(self) -> FlowKey:
        return 0, OAM_PRIORITY, self.in_port, None


OwnFlow: TypeAlias = SelectorFlow | OamFlow | ClientFlow


def selector(group: ProtectionGroup, on_protection: bool) -> SelectorFlow:
    channel = channel_address(group.working, group.direction)
    if not on_protection:
        return SelectorFlow(group.working, channel, group.working_port)
    rewrite = channel_address(group.protection, group.direction)
    return SelectorFlow(group.working, channel, group.protection_port, rewrite)


def flows_of(group: ProtectionGroup, on_protection: bool) -> tuple[OwnFlow, ...]:
    ends = ((group.working, group.working_port), (group.protection, group.protection_port))
    drops = (OamFlow(group.working, port, channel_address(sliced, 1 - group.direction)) for sliced, port in ends)
    return selector(group, on_protection), *drops


def add(flow: OwnFlow) -> Message:
    """Replaces the one of the same key."""
    return parser.OFPFlowMod(
        coding,
        cookie=cookie(LINE_CARD_TAG, 0, flow.working),
        table_id=flow.key[0],
        priority=flow.key[1],
        match=_match(flow.key),
        instructions=_instructions(flow),
    )


def delete(stat: Message) -> Message:
    """Deletes the flow of ours that this statistic is about."""
    return parser.OFPFlowMod(
        coding,
        command=ofproto.OFPFC_DELETE_STRICT,
        cookie=stat.cookie,
        cookie_mask=(1 << 64) - 1,
        table_id=stat.table_id,
        priority=stat.priority,
        match=stat.match,
        out_port=ofproto.OFPP_ANY,
        out_group=ofproto.OFPG_ANY,
    )


def request() -> Message:
    """All flows of ours."""
    return parser.OFPFlowStatsRequest(coding, cookie=cookie(LINE_CARD_TAG, 0, 0), cookie_mask=COOKIE_MASK)


def flow_of(stat: Message) -> OwnFlow | None:
    """None where it is of no shape that we write."""
    channel, in_port = _mac(stat.match.get("eth_dst")), stat.match.get("in_port")
    actions = [action for each in stat.instructions for action in getattr(each, "actions", [])]
    outputs = [action.port for action in actions if isinstance(action, parser.OFPActionOutput)]
    fields = [action for action in actions if isinstance(action, parser.OFPActionSetField)]
    rewrites = [_mac(action.value) for action in fields if action.key == "eth_dst"]
    place = stat.table_id, stat.priority
    if place == (0, OAM_PRIORITY) and in_port is not None and not stat.instructions:
        if "eth_dst" not in stat.match:
            return ClientFlow(in_port)
        return None if channel is None else OamFlow(slice_of(stat.cookie), in_port, channel)
    if channel is None or len(outputs) + len(rewrites) != len(actions):
        return None
    if place == (SELECTOR_TABLE, SELECTOR_PRIORITY) and len(outputs) == 1 and len(rewrites) <= 1:
        return SelectorFlow(slice_of(stat.cookie), channel, outputs[0], rewrites[0] if rewrites else None)
    return None


def _mac(value: Any) -> int | None:
    return int(value.replace(":", ""), 16) if isinstance(value, str) else None


def _match(key: FlowKey) -> Message:
    _, _, in_port, channel = key
    fields: dict[str, object] = {} if channel is None else {"eth_dst": mac_text(channel)}
    if in_port is not None:
        fields |= {"in_port": in_port, "eth_type": ETHERTYPE}
    return parser.OFPMatch(**fields)


def _instructions(flow: OwnFlow) -> list[Message]:
    if not isinstance(flow, SelectorFlow):
        return []
    actions = [] if flow.rewrite is None else [parser.OFPActionSetField(eth_dst=mac_text(flow.rewrite))]
    actions.append(parser.OFPActionOutput(flow.out_port))
    return [parser.OFPInstructionActions(ofproto.OFPIT_APPLY_ACTIONS, actions)]
