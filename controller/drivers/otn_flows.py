"""Cross-connects and slice meters as OpenFlow 1.3 messages, and back.

Table 0 holds one flow per cross-connect and the node's own two flows. A meter carries no cookie, so each has one
flow in `DIRECTORY_TABLE`, which no packet ever visits: its cookie and match say whose meter it is and how it is kept,
its instruction says which. So any 32-bit slice id fits OVS's 2^18 meters, foreign meters are told apart, a read needs
no memory, and the line-card program finds the meters that it sets. Its own flows have another tag (`core.otn.marks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from controller.core.addresses import channel_address, mac_text
from controller.core.entries import SELECTOR, CrossConnect, SliceMeter
from controller.core.otn import marks
from controller.core.otn.marks import CONTROLLER_TAG, COOKIE_MASK, DIRECTORY_TABLE, SELECTOR_TABLE, Directory
from controller.drivers.openflow_stream import Message
from controller.drivers.osken_native import ofproto, parser

CROSS_CONNECT_TABLE = 0
LLDP_PRIORITY, CROSS_CONNECT_PRIORITY, DIRECTORY_PRIORITY, MISS_PRIORITY = 1000, 100, 1, 0
LLDP_ETHERTYPE = 0x88CC
LLDP_ADDRESS = "01:80:c2:00:00:0e"
METER_FLAGS = ofproto.OFPMF_KBPS | ofproto.OFPMF_BURST | ofproto.OFPMF_STATS


class SliceDirection(NamedTuple):
    slice_id: int
    direction: int


class CrossingKey(NamedTuple):
    """What a cross-connect's match says."""

    slice_id: int
    direction: int
    in_port: int

    @property
    def way(self) -> SliceDirection:
        return SliceDirection(self.slice_id, self.direction)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A cross-connect as it stands: with the meter that its flow goes through, if any."""

    entry: CrossConnect
    meter_id: int | None


@dataclass(frozen=True, slots=True)
class Metering:
    meter_id: int
    entry: SliceMeter


@dataclass(slots=True)
class Holdings:
    """What is ours in one switch."""

    crossings: dict[CrossingKey, Crossing] = field(default_factory=dict)
    meterings: dict[SliceDirection, Metering] = field(default_factory=dict)
    meter_ids: set[int] = field(default_factory=set)
    """All in use, foreign ones too."""
    strays: list[Message] = field(default_factory=list)
    """Flow statistics with our cookie that are none of today's shapes, or doubled by a newer one."""
    infrastructure: set[int] = field(default_factory=set)
    """Priorities of the node's own flows that stand."""

    def entries(self) -> Iterable[CrossConnect | SliceMeter]:
        """A flow that bypasses its slice's meter is not what anyone asked for: it is left out, to be written again."""
        for key, crossing in self.crossings.items():
            metering = self.meterings.get(key.way)
            if crossing.meter_id == (metering.meter_id if metering else None):
                yield crossing.entry
        for metering in self.meterings.values():
            yield metering.entry

    def copy(self) -> Holdings:
        return Holdings(dict(self.crossings), dict(self.meterings), set(self.meter_ids), [], set(self.infrastructure))


def way_of(entry: CrossConnect | SliceMeter) -> SliceDirection:
    return SliceDirection(entry.slice_id, entry.direction)


def crossing_key(entry: CrossConnect) -> CrossingKey:
    return CrossingKey(entry.slice_id, entry.direction, entry.in_port)


def directory_of(entry: SliceMeter) -> Directory:
    return Directory(entry.slice_id, entry.direction, entry.follows, entry.transit)


def cookie(generation: int, slice_id: int) -> int:
    """Slice 0 is the node's own infrastructure."""
    return marks.cookie(CONTROLLER_TAG, generation, slice_id)


def _flow(datapath: Any, cookie: int, priority: int, match: Message, instructions: Sequence[Message]) -> Message:
    """An existing flow of the same match and priority is replaced; its counters go on (OpenFlow 1.3.5, 6.4)."""
    return parser.OFPFlowMod(
        datapath,
        cookie=cookie,
        priority=priority,
        match=match,
        instructions=list(instructions),
        table_id=CROSS_CONNECT_TABLE,
    )


def _match(entry: CrossConnect) -> Message:
    return parser.OFPMatch(in_port=entry.in_port, eth_dst=mac_text(entry.channel))


def crossing_add(datapath: Any, generation: int, crossing: Crossing) -> Message:
    entry = crossing.entry
    if entry.out_port == SELECTOR:
        instructions = [parser.OFPInstructionGotoTable(SELECTOR_TABLE)]
    else:
        actions = [] if entry.rewrite is None else [parser.OFPActionSetField(eth_dst=mac_text(entry.rewrite))]
        actions.append(parser.OFPActionOutput(entry.out_port))
        instructions = [parser.OFPInstructionActions(ofproto.OFPIT_APPLY_ACTIONS, actions)]
    if crossing.meter_id is not None:
        instructions.insert(0, parser.OFPInstructionMeter(crossing.meter_id, ofproto.OFPIT_METER))
    mark = cookie(generation, entry.slice_id)
    return _flow(datapath, mark, CROSS_CONNECT_PRIORITY, _match(entry), instructions)


def _delete(datapath: Any, match: Message, priority: int, mark: int, table: int) -> Message:
    return parser.OFPFlowMod(
        datapath,
        command=ofproto.OFPFC_DELETE_STRICT,
        table_id=table,
        priority=priority,
        match=match,
        cookie=mark,
        cookie_mask=COOKIE_MASK | 0xFFFFFFFF,
        out_port=ofproto.OFPP_ANY,
        out_group=ofproto.OFPG_ANY,
    )


def crossing_delete(datapath: Any, entry: CrossConnect) -> Message:
    """Deletes no flow but one of this slice."""
    mark = cookie(0, entry.slice_id)
    return _delete(datapath, _match(entry), CROSS_CONNECT_PRIORITY, mark, CROSS_CONNECT_TABLE)


def stray_delete(datapath: Any, stat: Message) -> Message:
    return _delete(datapath, stat.match, stat.priority, stat.cookie, stat.table_id)


def _meter(datapath: Any, command: int, metering: Metering) -> Message:
    band = parser.OFPMeterBandDrop(metering.entry.rate_kbps, metering.entry.burst_kbit)
    return parser.OFPMeterMod(datapath, command, METER_FLAGS, metering.meter_id, [band])


def metering_add(datapath: Any, metering: Metering) -> Message:
    return _meter(datapath, ofproto.OFPMC_ADD, metering)


def directory_add(datapath: Any, generation: int, metering: Metering) -> Message:
    """To be sent when the meter stands: else it might claim a foreign one."""
    entry = metering.entry
    return parser.OFPFlowMod(
        datapath,
        cookie=cookie(generation, entry.slice_id),
        table_id=DIRECTORY_TABLE,
        priority=DIRECTORY_PRIORITY,
        match=_directory_match(entry),
        instructions=[parser.OFPInstructionMeter(metering.meter_id, ofproto.OFPIT_METER)],
    )


def directory_delete(datapath: Any, entry: SliceMeter) -> Message:
    """What the directory said of a meter that is now kept in another way."""
    return _delete(datapath, _directory_match(entry), DIRECTORY_PRIORITY, cookie(0, entry.slice_id), DIRECTORY_TABLE)


def _directory_match(entry: SliceMeter) -> Message:
    return parser.OFPMatch(metadata=directory_of(entry).metadata)


def metering_modify(datapath: Any, metering: Metering) -> Message:
    """Loses no packet, but refills the bucket and clears the meter's own counters."""
    return _meter(datapath, ofproto.OFPMC_MODIFY, metering)


def metering_delete(datapath: Any, meter_id: int) -> Message:
    """The switch deletes every flow that uses the meter, its directory flow among them."""
    return parser.OFPMeterMod(datapath, ofproto.OFPMC_DELETE, METER_FLAGS, meter_id, [])


def infrastructure_add(datapath: Any, generation: int) -> list[Message]:
    """LLDP (IEEE 802.1AB, nearest bridge) to the controller in full length; anything unknown is dropped."""
    lldp = parser.OFPMatch(eth_type=LLDP_ETHERTYPE, eth_dst=LLDP_ADDRESS)
    punt = parser.OFPActionOutput(ofproto.OFPP_CONTROLLER, ofproto.OFPCML_NO_BUFFER)
    instructions = [parser.OFPInstructionActions(ofproto.OFPIT_APPLY_ACTIONS, [punt])]
    mark = cookie(generation, 0)
    return [
        _flow(datapath, mark, LLDP_PRIORITY, lldp, instructions),
        _flow(datapath, mark, MISS_PRIORITY, parser.OFPMatch(), []),
    ]


INFRASTRUCTURE = frozenset({LLDP_PRIORITY, MISS_PRIORITY})


def flows_request(datapath: Any) -> Message:
    """Flows of ours, in all tables."""
    return parser.OFPFlowStatsRequest(datapath, cookie=cookie(0, 0), cookie_mask=COOKIE_MASK)


def meters_request(datapath: Any) -> Message:
    return parser.OFPMeterConfigStatsRequest(datapath)


def holdings_of(flows: Iterable[Message], meters: Iterable[Message]) -> Holdings:
    """What flow statistics (with our cookie tag) and meter configurations amount to."""
    held = Holdings()
    configs = {config.meter_id: config for config in meters}
    held.meter_ids.update(configs)
    newest_first = sorted(flows, key=lambda stat: (stat.duration_sec, stat.duration_nsec))
    for stat in newest_first:
        if stat.table_id == DIRECTORY_TABLE:
            _take_metering(held, stat, configs)
        elif marks.slice_of(stat.cookie) == 0:
            held.infrastructure.add(stat.priority)
        else:
            _take_crossing(held, stat)
    return held


def _take_metering(held: Holdings, stat: Message, configs: dict[int, Message]) -> None:
    instructions = _instructions(stat)
    config = configs.get(instructions.meter_id) if instructions.meter_id is not None else None
    mark = _directory(stat)
    if config is None or mark is None or len(config.bands) != 1 or mark[:2] in held.meterings:
        held.strays.append(stat)
        return
    band = config.bands[0]
    entry = SliceMeter(mark.slice_id, mark.direction, band.rate, band.burst_size, mark.follows, mark.transit)
    held.meterings[way_of(entry)] = Metering(config.meter_id, entry)


def _directory(stat: Message) -> Directory | None:
    """A masked field comes as a pair: not ours."""
    metadata = stat.match.get("metadata")
    mark = Directory.of(metadata) if isinstance(metadata, int) else None
    return mark if mark and mark.slice_id == marks.slice_of(stat.cookie) else None


def _take_crossing(held: Holdings, stat: Message) -> None:
    crossing = _crossing_of(stat)
    if crossing is None or crossing_key(crossing.entry) in held.crossings:
        held.strays.append(stat)
    else:
        held.crossings[crossing_key(crossing.entry)] = crossing


def _crossing_of(stat: Message) -> Crossing | None:
    """None where it is no flow that `crossing_add` would write."""
    slice_id, in_port = marks.slice_of(stat.cookie), stat.match.get("in_port")
    channel, way = _mac(stat.match.get("eth_dst")), _way(_instructions(stat))
    if way is None or in_port is None or channel is None or stat.priority != CROSS_CONNECT_PRIORITY:
        return None
    direction = channel & 0xFF
    if stat.table_id != CROSS_CONNECT_TABLE or direction > 1 or channel != channel_address(slice_id, direction):
        return None
    return Crossing(CrossConnect(slice_id, direction, in_port, channel, *way), _instructions(stat).meter_id)


class _Instructions(NamedTuple):
    meter_id: int | None
    table: int | None
    actions: list[Message]


def _instructions(stat: Message) -> _Instructions:
    meter_id, table, actions = None, None, []
    for instruction in stat.instructions:
        if isinstance(instruction, parser.OFPInstructionMeter):
            meter_id = instruction.meter_id
        elif isinstance(instruction, parser.OFPInstructionGotoTable):
            table = instruction.table_id
        elif isinstance(instruction, parser.OFPInstructionActions):
            actions += instruction.actions
    return _Instructions(meter_id, table, actions)


def _way(found: _Instructions) -> tuple[int, int | None] | None:
    """(out port, rewrite) of a cross-connect's instructions."""
    if found.table is not None:
        return (SELECTOR, None) if found.table == SELECTOR_TABLE and not found.actions else None
    outputs = [action.port for action in found.actions if isinstance(action, parser.OFPActionOutput)]
    fields = [action for action in found.actions if isinstance(action, parser.OFPActionSetField)]
    rewrites = [_mac(action.value) for action in fields if action.key == "eth_dst"]
    known = len(outputs) + len(rewrites) == len(found.actions) and len(outputs) == 1 and len(rewrites) <= 1
    return (outputs[0], rewrites[0] if rewrites else None) if known else None


def _mac(value: Any) -> int | None:
    """A masked field comes as a pair: not ours."""
    return int(value.replace(":", ""), 16) if isinstance(value, str) else None
