"""What a packet walk must show: it arrives where planned, over what was planned, and every meter lets it through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from networks import (
    Network,
)
from packet_walk import Journey, Packet, Place, World

from controller.core.diff import changes
from controller.core.entries import Entry, Exact, MeterEntry, Operation, SliceMeter, SlotAssignment, TableEntry
from controller.core.model import EndPoint, LinkKind, Stage
from controller.core.records import Placement, Record

Tables = dict[str, tuple[Entry, ...]]

SLOT_BPS = 10_009_306
TRANSIT_ALLOWANCE_KBPS = 512
UNMARKED = 13
"""A code point that no corridor here asks for."""


def wires(net: Network) -> Iterator[tuple[str, Place, Place]]:
    """The cables of a domain: adjacencies are none, they are what the cables must carry."""
    for link in net.topology.links.values():
        if link.kind is not LinkKind.ADJACENCY:
            yield link.name, (link.a_node, link.a_port), (link.z_node, link.z_port)


def world(net: Network, tables: Tables | None = None) -> World:
    return World(tables or net.tables(), wires(net))


def addresses(source: EndPoint, sink: EndPoint, host: int = 7) -> Iterator[tuple[str, str]]:
    """A host behind each end, per family."""
    for here, there in ((source.ipv4_prefixes, sink.ipv4_prefixes), (source.ipv6_prefixes, sink.ipv6_prefixes)):
        for a, z in product(here, there):
            yield tuple(p.split("/")[0].removesuffix("0").rstrip(".") + _tail(p, host) for p in (a, z))  # type: ignore[misc]


def _tail(prefix: str, host: int) -> str:
    return f"{host:x}" if ":" in prefix else f".{host}"


def port_of(net: Network, end: EndPoint) -> int:
    return next(p.port for p in net.topology.nodes[end.node].access_ports if p.name == end.port)


@dataclass(frozen=True)
class Flow:
    """One direction and family of a placement, and the road that it was promised."""

    source: EndPoint
    sink: EndPoint
    packet: Packet
    fibres: tuple[str, ...]
    routers: tuple[str, ...]
    kbps: int
    mtu: int


def fibre_route(net: Network, placement: Placement) -> tuple[str, ...]:
    """The fibres of a placement A to Z: those of its slice, or of the trails under its adjacencies."""
    route: list[str] = []
    here = placement.a_end.node
    for name in placement.leg.links:
        link = net.topology.links[name]
        if link.kind is LinkKind.FIBRE:
            route.append(name)
            continue
        route += link.trail if link.a_node == here else link.trail[::-1]
        here = link.z_node if link.a_node == here else link.a_node
    return tuple(route)


def flows(net: Network, placement: Placement) -> Iterator[Flow]:
    route, routers = fibre_route(net, placement), placement.leg.nodes
    there = placement.a_end, placement.z_end, route, routers, placement.forward_kbps
    back = placement.z_end, placement.a_end, route[::-1], routers[::-1], placement.reverse_kbps
    for source, sink, fibres, nodes, kbps in (there, back):
        for a, z in addresses(source, sink):
            packet = Packet(a, z, dscp=UNMARKED if source.dscp is None else source.dscp)
            yield Flow(source, sink, packet, fibres, nodes, kbps, placement.mtu_bytes)


def arrives(net: Network, here: World, flow: Flow, vrf: int) -> Journey:
    """The flow's packet arrives at its port, in its VRF, over its road; the meters on the way let its rate through."""
    journey = here.send(flow.source.node, port_of(net, flow.source), flow.packet)
    assert journey.delivered == (flow.sink.node, port_of(net, flow.sink), vrf)
    assert tuple(journey.fibres) == flow.fibres
    assert tuple(journey.routers) == flow.routers
    assert journey.shaper is not None
    shaped_bps = journey.shaper.rate * 8
    assert abs(shaped_bps - flow.kbps * 1000) < 8
    assert {m.slice_id for _, m in journey.meters} == {each for each, _ in journey.channels}
    assert all(meter.rate_kbps * 1000 >= shaped_bps for _, meter in journey.meters)
    assert len(journey.slots) == 2 * len(flow.fibres), "slots at both ends of each fibre"
    too_long = replace(flow.packet, length=flow.mtu + 1)
    assert here.send(flow.source.node, port_of(net, flow.source), too_long).answer == flow.mtu
    return journey


def all_arrive(net: Network, tables: Tables | None = None) -> None:
    """Every corridor that carries traffic, on the placement that its stage steers into."""
    here = world(net, tables)
    for record in net.records.values():
        head = record.current if record.stage is Stage.BUILD else record.target
        for flow in flows(net, head) if head else ():
            arrives(net, here, flow, head.vrf)  # type: ignore[union-attr]


def consistent(tables: Tables) -> None:
    """No slot of a line is held twice, and nothing refers to what is not there."""
    for entries in tables.values():
        taken: set[tuple[int, str, int]] = set()
        for held in (e for e in entries if isinstance(e, SlotAssignment)):
            mine = {(held.line_port, held.server, slot) for slot in held.slots}
            assert not mine & taken
            assert 0 < held.active <= len(held.slots) == len(mine)
            taken |= mine
        nothing_dangles(entries)


def nothing_dangles(entries: Iterable[Entry]) -> None:
    """Next hops, policies and meter cells that entries of one router name are there."""
    rows = [e for e in entries if isinstance(e, TableEntry)]
    cells = {e.index for e in entries if isinstance(e, MeterEntry)}
    stand = {table: {dict(e.match)[table] for e in rows if e.table == table} for table in ("next_hop", "policy")}
    for row in rows:
        for name, value in row.params if row.table != "policy" else row.params[:1]:
            if name in stand:
                assert Exact(value) in stand[name], f"{row.table} names {name} {value}"
            assert name != "corridor" or value in cells


def not_overcommitted(net: Network) -> None:
    """The shapers of all that ride a channel together stay within every meter of it."""
    here, load, limit = world(net), dict[tuple[int, int], int](), dict[tuple[int, int], int]()
    for record in net.records.values():
        head = record.current if record.stage is Stage.BUILD else record.target
        seen = set()
        for flow in flows(net, head) if head else ():
            if flow.source.node in seen:
                continue
            seen.add(flow.source.node)
            journey = arrives(net, here, flow, head.vrf)  # type: ignore[union-attr]
            for channel in journey.channels:
                load[channel] = load.get(channel, 0) + flow.kbps
            for _, meter in journey.meters:
                key = meter.slice_id, meter.direction
                limit[key] = min(limit.get(key, meter.rate_kbps), meter.rate_kbps)
    assert all(load[channel] <= limit[channel] for channel in load)


def stages(net: Network, name: str) -> Iterator[Tables]:
    """The tables at each stage of a change that was just booked, and again where line cards then resize in band."""
    while True:
        tables = net.tables()
        yield tables
        record = net.records[name]
        if record.stage is Stage.SETTLED:
            return
        resized = in_band(tables, sizes_after(record))
        if rates(resized) != rates(tables):
            yield resized
        net.step(name)
        if name not in net.records:
            yield net.tables()
            return


def sizes_after(record: Record) -> dict[int, int]:
    """What a slice of both states is resized to: up at the end of BUILD, down at the end of STEER."""
    if record.current is None or record.target is None:
        return {}
    old = {each.id: each.active_slots for each in record.current.leg.slices}
    new = {each.id: each.active_slots for each in record.target.leg.slices if each.id in old}
    return {each: max(old[each], new[each]) if record.stage is Stage.BUILD else new[each] for each in new}


def in_band(tables: Tables, counts: dict[int, int]) -> Tables:
    """Line cards set the meters of slices that follow: behind the first, room for continuity frames."""

    def resized(entry: Entry) -> Entry:
        if not isinstance(entry, SliceMeter) or entry.slice_id not in counts:
            return entry
        assert entry.follows
        rate = counts[entry.slice_id] * SLOT_BPS // 1000
        return replace(entry, rate_kbps=rate + TRANSIT_ALLOWANCE_KBPS * entry.transit)

    return {name: tuple(map(resized, entries)) for name, entries in tables.items()}


def rates(tables: Tables) -> dict[tuple[str, int, int], int]:
    """Per OTN node, slice and direction."""
    meters = ((name, e) for name, entries in tables.items() for e in entries if isinstance(e, SliceMeter))
    return {(name, e.slice_id, e.direction): e.rate_kbps for name, e in meters}


def mixtures(before: Tables, after: Tables) -> Iterator[Tables]:
    """Devices change one by one, in any order: each alone ahead of the others, and each alone behind."""
    for name in before:
        yield {**before, name: after[name]}
        yield {**after, name: before[name]}


def walk_through(net: Network, name: str) -> list[Tables]:
    """Every stage of a booked change, and every mixture of two stages on the way: no corridor loses a packet."""
    seen: list[Tables] = []
    for tables in stages(net, name):
        consistent(tables)
        all_arrive(net, tables)
        not_overcommitted(net)
        seen.append(tables)
    return seen


def carried(net: Network, before: Tables, after: Tables, flow: Flow, vrf: int) -> None:
    for mixed in mixtures(before, after):
        journey = world(net, mixed).send(flow.source.node, port_of(net, flow.source), flow.packet)
        assert journey.delivered == (flow.sink.node, port_of(net, flow.sink), vrf)
        assert journey.shaper is not None
        assert all(m.rate_kbps * 1000 >= journey.shaper.rate * 8 for _, m in journey.meters)


def writes(before: Tables, after: Tables) -> Iterator[Tables]:
    """Each device in turn goes from one stage to the next, one write after the other."""
    now = dict(before)
    for name in before:
        held = {e.key: e for e in before[name]}
        for change in changes(dict(held), {e.key: e for e in after[name]}):
            held.pop(change.entry.key, None)
            if change.operation is not Operation.DELETE:
                held[change.entry.key] = change.entry
            now[name] = tuple(held.values())
            nothing_dangles(now[name])
            yield dict(now)
        assert {e.key: e for e in after[name]} == held
