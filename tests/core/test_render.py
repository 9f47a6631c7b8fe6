"""Packets walked through what every device shall hold: they arrive where planned, over what was planned, at each stage.

The oracle is `packet_walk`, which knows the pipeline's contract and the RFCs but not the renderer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from itertools import product

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from networks import (
    TENANTS,
    Network,
    chain,
    corridor,
    corridors_on,
    domains,
    end_point,
    node_name,
    prefixes,
    square,
)
from packet_walk import Journey, Lost, Packet, Place, World

from controller.core.diff import changes
from controller.core.entries import Entry, MeterEntry, Operation, SliceMeter, SlotAssignment, TableEntry
from controller.core.errors import Infeasible, Refused
from controller.core.model import Corridor, EndPoint, Isolation, LinkKind, Profile, Reservation, Stage, Status
from controller.core.records import Placement, Record
from controller.core.render import render_infrastructure, render_record

Tables = dict[str, tuple[Entry, ...]]

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
    shaped_bps = journey.shaper.rate_bytes_per_s * 8
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
        rows = [e for e in entries if isinstance(e, TableEntry)]
        hops = {dict(e.match)["next_hop"] for e in rows if e.table == "next_hop"}
        asked = {dict(e.params)["next_hop"] for e in rows if e.table != "next_hop" and "next_hop" in dict(e.params)}
        assert asked <= {hop.value for hop in hops}


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
    """The tables at each stage of a change that was just booked."""
    while True:
        yield net.tables()
        if net.records[name].stage is Stage.SETTLED:
            return
        net.step(name)
        if name not in net.records:
            yield net.tables()
            return


def mixtures(before: Tables, after: Tables) -> Iterator[Tables]:
    """Devices change one by one, in any order: each alone ahead of the others, and each alone behind."""
    for name in before:
        yield {**before, name: after[name]}
        yield {**after, name: before[name]}


# ---- one corridor on the square --------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", Isolation)
def test_both_families_both_ways(isolation: Isolation) -> None:
    net = Network.of(square())
    record = net.stand(corridor(isolation=isolation))
    assert len(list(flows(net, record.target))) == 4  # type: ignore[arg-type]
    all_arrive(net)
    consistent(net.tables())


def test_a_hard_corridor_rides_its_own_channel_and_a_soft_one_the_trails() -> None:
    net = Network.of(square())
    hard = net.stand(corridor("hard"))
    soft = net.stand(corridor("soft", tenant="globex", isolation=Isolation.SOFT))
    here = world(net)
    for record, own in ((hard, True), (soft, False)):
        assert record.target is not None
        journey = arrives(net, here, next(flows(net, record.target)), record.target.vrf)
        trails = {link.slice_id for link in net.topology.of_kind(LinkKind.ADJACENCY)}
        assert {each for each, _ in journey.channels}.isdisjoint(trails) is own


def test_the_outer_header_is_what_the_leg_says() -> None:
    net = Network.of(chain(8))
    record = net.stand(corridor(a=1, z=8, isolation=Isolation.SOFT))
    assert record.target is not None
    leg, here = record.target.leg, world(net)
    v4, v6, *_ = (arrives(net, here, flow, record.target.vrf) for flow in flows(net, record.target))
    for journey, segments in ((v4, leg.forward_ipv4), (v6, leg.forward)):
        assert journey.outer is not None
        on_wire = journey.outer.destination, *reversed(journey.outer.segments)
        assert tuple(str(IPv6Address(each)) for each in on_wire) == segments.carriers
        assert journey.outer.segments_left == len(segments.carriers) - 1
        assert IPv6Address(journey.outer.source) == IPv6Address("fcbb:bb00:1::1")


@pytest.mark.parametrize("sites", [2, 3, 4, 5, 7, 8, 10])
def test_long_lists_of_one_two_and_three_carriers(sites: int) -> None:
    net = Network.of(chain(sites))
    record = net.stand(corridor(a=1, z=sites, isolation=Isolation.SOFT))
    assert record.target is not None
    assert len(record.target.leg.forward.carriers) == -(-(sites - 1) // 3)
    all_arrive(net)


def test_a_list_beyond_three_carriers_is_refused() -> None:
    net = Network.of(chain(11))
    with pytest.raises(Infeasible) as refusal:
        net.ask(corridor(a=1, z=11, isolation=Isolation.SOFT))
    assert refusal.value.reason == "SEGMENT_LIST_TOO_LONG"


def test_two_tenants_with_the_same_addresses_never_meet() -> None:
    net = Network.of(square())
    for tenant in TENANTS:
        for isolation, z in ((Isolation.HARD, 3), (Isolation.SOFT, 4)):
            net.stand(corridor(isolation.lower(), 1, z, isolation, tenant=tenant))
    all_arrive(net)
    here = world(net)
    for record in net.records.values():
        assert record.target is not None
        for flow in flows(net, record.target):
            delivered = here.send(flow.source.node, port_of(net, flow.source), flow.packet).delivered
            assert delivered is not None
            owner = {p.port: p.tenant for p in net.topology.nodes[delivered[0]].access_ports}[delivered[1]]
            assert record.name.startswith(f"tenants/{owner}/")


def test_what_no_corridor_was_made_for_stays_out() -> None:
    net = Network.of(square())
    net.stand(corridor(tenant="acme"))
    here, acme = world(net), port_of(net, end_point(1, "acme"))
    with pytest.raises(Lost, match="0 entries in port_role"):
        here.send(node_name("r1"), port_of(net, end_point(1, "globex")), Packet("10.9.1.7", "10.9.3.7"))
    with pytest.raises(Lost, match="no route"):
        here.send(node_name("r1"), acme, Packet("10.9.1.7", "10.9.4.7"))
    with pytest.raises(Lost, match="no route"):
        here.send(node_name("r1"), acme, Packet("10.77.0.1", "10.9.3.7"))


@pytest.mark.parametrize("isolation", Isolation)
def test_forged_sids_headers_and_channels_go_nowhere(isolation: Isolation) -> None:
    net = Network.of(square())
    net.stand(corridor(isolation=isolation))
    globex = net.stand(corridor("other", tenant="globex"))
    assert globex.target is not None
    here, port = world(net), port_of(net, end_point(1, "acme"))
    sids = [dict(e.match)["dst"] for e in net.tables()[node_name("r3")] if getattr(e, "table", "") == "local_sid"]
    assert len(sids) > 4
    for sid in sids:
        with pytest.raises(Lost, match="infrastructure"):
            here.send(node_name("r1"), port, Packet("2001:db8:9:1::7", str(IPv6Address(sid.value))))  # type: ignore[union-attr]
    with pytest.raises(Lost, match="infrastructure"):
        here.send(node_name("r1"), port, Packet("2001:db8:9:1::7", "fdc0:de::1"))
    with pytest.raises(Lost, match="routing header"):
        here.send(node_name("r1"), port, Packet("2001:db8:9:1::7", "2001:db8:9:3::7", routing_header=True))
    for slice_id in range(1, 12):
        for direction in (0, 1):
            with pytest.raises(Lost, match="is not the MAC"):
                here.send(
                    node_name("r1"), port, Packet("10.9.1.7", "10.9.3.7"), int(f"02{slice_id:08x}{direction:02x}", 16)
                )


def test_a_code_point_chooses_between_two_corridors() -> None:
    net = Network.of(square())
    marked = replace(corridor("ef"), a_end=end_point(1, "acme", dscp=46), z_end=end_point(3, "acme", dscp=46))
    ef, rest = net.stand(marked), net.stand(corridor("rest", isolation=Isolation.SOFT))
    all_arrive(net)
    here, port = world(net), port_of(net, end_point(1, "acme"))
    routes = {}
    for dscp in (46, 0, 47):
        routes[dscp] = here.send(node_name("r1"), port, Packet("10.9.1.7", "10.9.3.7", dscp)).channels
    assert routes[0] == routes[47] != routes[46]
    assert ef.target is not None
    assert ef.target.slice is not None
    assert {each for each, _ in routes[46]} == {ef.target.slice.id}
    assert rest.target is not None


def test_longer_prefixes_win_over_shorter_ones() -> None:
    net = Network.of(square())
    wide = EndPoint(node_name("r3"), "acme", ("10.9.2.0/23",))
    narrow = EndPoint(node_name("r3"), "acme", ("10.9.3.0/24",))
    a_end = EndPoint(node_name("r1"), "acme", ("10.9.1.0/24",))
    net.stand(replace(corridor("wide", isolation=Isolation.SOFT), a_end=a_end, z_end=wide))
    hard = net.stand(replace(corridor("narrow"), a_end=a_end, z_end=narrow))
    assert hard.target is not None
    assert hard.target.slice is not None
    here = world(net)
    one, two = (here.send(node_name("r1"), 2, Packet("10.9.1.7", each)) for each in ("10.9.3.7", "10.9.2.7"))
    assert one.channels == [(hard.target.slice.id, 0)]
    assert two.channels != one.channels


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_that_overlap_crosswise_one_is_always_first(turned: bool) -> None:
    """Wide to narrow and narrow to wide: equal priorities would leave the choice to the target."""
    net = Network.of(square())
    wide, narrow = ("10.8.0.0/15", "10.9.1.0/24"), ("10.32.0.0/15", "10.33.3.0/24")
    pairs = [(wide[0], narrow[1]), (wide[1], narrow[0])]
    for number, (a, z) in enumerate(pairs[::-1] if turned else pairs):
        ends = EndPoint(node_name("r1"), "acme", (a,)), EndPoint(node_name("r3"), "acme", (z,))
        net.stand(replace(corridor(f"c{number}", rates=(number + 5,)), a_end=ends[0], z_end=ends[1]))
    here = world(net)
    for router, port, packet in (
        ("r1", 2, Packet("10.9.1.7", "10.33.3.7")),
        ("r3", 2, Packet("10.33.3.7", "10.9.1.7")),
    ):
        assert here.send(node_name(router), port, packet).delivered


def test_channel_and_port_addresses_have_their_layout() -> None:
    net = Network.of(square())
    record = net.stand(corridor(a=2, z=4))
    assert record.target is not None
    assert record.target.slice is not None
    for site, direction in ((2, 0), (4, 1)):
        hops = [e for e in net.tables()[node_name(f"r{site}")] if getattr(e, "table", "") == "next_hop"]
        params = [dict(e.params) for e in hops if getattr(e, "action", "") == "to_adjacency"]  # type: ignore[union-attr]
        channel = int(f"02{record.target.slice.id:08x}{direction:02x}", 16)
        (own,) = [p for p in params if p["dst_mac"] == channel]
        assert own["src_mac"] == int(f"0600{site:04x}0001", 16)


# ---- the underlay ----------------------------------------------------------------------------------------------------


def test_the_underlay_avoids_what_is_down() -> None:
    net = Network.of(square())
    tables = {True: net.tables()}
    net.link("F-12", Status.DOWN)
    tables[False] = net.tables()
    hops = {}
    for up, each in tables.items():
        routes = [e for e in each[node_name("r1")] if getattr(e, "table", "") == "route_v6"]
        hops[up] = {dict(e.match)["dst"].value: dict(e.params)["next_hop"] for e in routes}  # type: ignore[union-attr]
    to_2 = int(IPv6Address("fcbb:bb00:2::"))
    assert set(hops[True]) == {int(IPv6Address(f"fcbb:bb00:{site}::")) for site in (2, 3, 4)} == set(hops[False])
    assert hops[True][to_2] != hops[False][to_2]


def test_nothing_of_a_trail_is_asked_for_before_its_ports_are_known() -> None:
    net = Network.of(square(), up=False)
    desired = render_infrastructure(net.topology, net.ids)
    assert set(desired) == {node_name(f"r{site}") for site in range(1, 5)}
    kinds = {getattr(e, "table", "") for entries in desired.values() for e in entries.values()}
    assert kinds == {"local_sid", "tunnel_source", "edge_filter"}


def test_every_router_guards_its_edge_and_owns_its_locator() -> None:
    net = Network.of(square())
    for site in range(1, 5):
        rows = [e for e in net.tables()[node_name(f"r{site}")] if isinstance(e, TableEntry)]
        guarded = {(IPv6Address(d.value), d.prefix_len) for e in rows if e.table == "edge_filter" for _, d in e.match}  # type: ignore[union-attr,misc]
        assert guarded == {(IPv6Address("fcbb:bb00::"), 32), (IPv6Address("fdc0:de::"), 32)}
        own = [d for e in rows if e.action == "u_n" for _, d in e.match]
        assert [(d.value, d.prefix_len) for d in own] == [(int(IPv6Address(f"fcbb:bb00:{site}::")), 48)]  # type: ignore[union-attr]


# ---- changes: make before break --------------------------------------------------------------------------------------


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
        assert all(m.rate_kbps * 1000 >= journey.shaper.rate_bytes_per_s * 8 for _, m in journey.meters)


@pytest.mark.parametrize("isolation", Isolation)
def test_a_move_never_loses_a_packet(isolation: Isolation) -> None:
    net = Network.of(square())
    standing = net.stand(corridor(isolation=isolation))
    assert standing.target is not None
    old = net.tables()
    kept = list(flows(net, standing.target))
    net.link(net.topology.links[standing.target.leg.links[0]].trail[0].rsplit("/", 1)[1] if isolation is Isolation.SOFT
             else standing.target.leg.links[0].rsplit("/", 1)[1], Status.DOWN)  # fmt: skip
    moved = net.ask(standing.corridor)
    assert moved.target is not None
    assert moved.target.leg.links != standing.target.leg.links
    before = old
    for tables in walk_through(net, moved.name):
        for flow in kept:
            carried(net, before, tables, flow, standing.target.vrf)
        before = tables


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
            yield dict(now)
        assert {e.key: e for e in after[name]} == held


def larger(standing: Corridor) -> Corridor:
    return replace(standing, profiles=(Profile("p0", 400_000),))


def smaller(standing: Corridor) -> Corridor:
    return replace(standing, profiles=(Profile("p0", 5_000),))


def softer(standing: Corridor) -> Corridor:
    return replace(larger(standing), isolation=Isolation.SOFT)


def softer_and_smaller(standing: Corridor) -> Corridor:
    return replace(smaller(standing), isolation=Isolation.SOFT)


CHANGES = [larger, smaller, softer, softer_and_smaller]


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("change", CHANGES)
def test_not_one_write_of_a_change_loses_a_packet(
    change: Callable[[Corridor], Corridor], isolation: Isolation, cut: bool
) -> None:
    """After every single write, in the order of `diff`, the traffic arrives and no meter is below the shaper."""
    net = Network.of(square())
    standing = net.stand(corridor(rates=(100_000,), isolation=isolation))
    assert standing.target is not None
    kept, before = list(flows(net, standing.target)), net.tables()
    if cut:
        net.link("F-13", Status.DOWN)
        net.link("F-12", Status.DOWN)
    net.ask(change(standing.corridor))
    for tables in stages(net, standing.name):
        for mixed in writes(before, tables):
            here = world(net, mixed)
            for flow in kept:
                journey = here.send(flow.source.node, port_of(net, flow.source), flow.packet)
                assert journey.delivered == (flow.sink.node, port_of(net, flow.sink), standing.target.vrf)
                assert journey.shaper is not None
                assert all(m.rate_kbps * 1000 >= journey.shaper.rate_bytes_per_s * 8 for _, m in journey.meters)
        before = tables


def test_creation_and_removal_write_by_write() -> None:
    """A half-built or half-removed corridor delivers to its own port or not at all."""
    net = Network.of(square())
    net.stand(corridor("other", tenant="globex"))
    empty, before = net.tables(), net.tables()
    record = net.ask(corridor())
    assert record.target is not None
    there = list(flows(net, record.target))
    half_way = 0
    for begin in (lambda: record, lambda: net.remove(record.name)):
        begin()
        for tables in stages(net, record.name):
            for mixed in writes(before, tables):
                for flow in there:
                    with suppress(Lost):
                        sent = world(net, mixed).send(flow.source.node, port_of(net, flow.source), flow.packet)
                        assert sent.delivered == (flow.sink.node, port_of(net, flow.sink), record.target.vrf)
                        half_way += 1
            before = tables
    assert half_way
    assert {n: set(e) for n, e in before.items()} == {n: set(e) for n, e in empty.items()}


@pytest.mark.parametrize("active", [(0, 1), (1, 0)])
@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("reservation", Reservation)
def test_a_switch_keeps_the_optical_rate_above_the_shaper(
    active: tuple[int, int], isolation: Isolation, reservation: Reservation
) -> None:
    net = Network.of(square())
    wanted = corridor(isolation=isolation, active=active[0], reservation=reservation)
    standing = net.stand(wanted)
    assert standing.target is not None
    before = net.tables()
    net.ask(replace(standing.corridor, active_profile=f"p{active[1]}"))
    rates = []
    for tables in walk_through(net, wanted.name):
        for flow in flows(net, standing.target):
            carried(net, before, tables, flow, standing.target.vrf)
        rates.append(rates_of(tables))
        before = tables
    shaper, meter = zip(*rates, strict=True)
    turn = list(range(4))  # BUILD, STEER, CLEAN, SETTLED
    assert shaper[turn[0]] != shaper[turn[1]] == shaper[turn[2]] == shaper[turn[3]], "the shaper turns at STEER"
    if isolation is Isolation.HARD:
        assert meter[0] == meter[1] == max(meter), "the meters rise before the shaper, and fall after it"
        assert (meter[3] < meter[1]) is (active == (1, 0))


def rates_of(tables: Tables) -> tuple[int, int]:
    """(rate of the corridor's shaper, lowest rate of the meters at r1's OTN node)."""
    (shaper,) = {e.rate_bytes_per_s for e in tables[node_name("r1")] if isinstance(e, MeterEntry)}
    return shaper, min(e.rate_kbps for e in tables[node_name("o1")] if isinstance(e, SliceMeter))


def test_what_the_first_meter_lets_in_the_next_ones_do_not_drop() -> None:
    net = Network.of(chain(4))
    record = net.stand(corridor(a=1, z=4))
    assert record.target is not None
    for flow in flows(net, record.target):
        first, *others = [m for _, m in arrives(net, world(net), flow, record.target.vrf).meters]
        assert len(others) == 3
        assert all(m.rate_kbps >= first.rate_kbps and m.burst_kbit > first.burst_kbit for m in others)


def test_a_prefix_follows_its_port_with_the_traffic_not_before() -> None:
    net = Network.of(square())
    standing = net.stand(corridor())
    net.ask(replace(standing.corridor, z_end=end_point(3, "acme", "acme-b")))
    ports = []
    for tables in stages(net, standing.name):
        journey = world(net, tables).send(node_name("r1"), 2, Packet("10.9.1.7", "10.9.3.7"))
        assert journey.delivered is not None
        ports.append(journey.delivered[1])
    assert ports == [2, 4, 4, 4]


def test_creation_steers_last_and_removal_first() -> None:
    net = Network.of(square())
    wanted = corridor()
    record = net.ask(wanted)
    assert record.target is not None
    steered = []
    for tables in stages(net, wanted.name):
        heads = [e for e in tables[node_name("r1")] if getattr(e, "table", "").startswith("classifier")]
        steered.append(bool(heads))
    assert steered == [False, True, True, True]
    standing = net.tables()
    net.remove(wanted.name)
    empty = Network.of(square()).tables()
    gone = []
    for tables in stages(net, wanted.name):
        heads = [e for e in tables[node_name("r1")] if getattr(e, "table", "").startswith("classifier")]
        slices = [e for e in tables[node_name("o1")] if getattr(e, "slice_id", 0) == record.target.slice.id]  # type: ignore[union-attr]
        gone.append((not heads, not slices))
        if not gone[-1][0]:
            all_arrive(net, tables)
    assert gone == [(False, False), (True, False), (True, True), (True, True)]
    assert standing != empty
    assert {n: set(e) for n, e in net.tables().items()} == {n: set(e) for n, e in empty.items()}


def test_the_same_record_renders_to_the_same_entries() -> None:
    net = Network.of(square())
    record = net.stand(corridor())
    first, second = (render_record(net.topology, net.ids, record) for _ in range(2))
    assert first == second


# ---- any domain, any corridors, any changes --------------------------------------------------------------------------


def other_ends(draw: st.DrawFn, end: EndPoint) -> EndPoint:
    """The same end with another port of its tenant, another prefix more, or another code point."""
    tenant = end.port.removesuffix("-b")
    ports = ["acme", "acme-b"] if tenant == "acme" else [tenant]
    more = draw(st.booleans()) and bool(end.ipv4_prefixes)
    site = int(end.node.rsplit("r", 1)[1])
    return replace(
        end,
        port=draw(st.sampled_from(ports)),
        ipv4_prefixes=prefixes(site)[0] + prefixes(site, 8)[0] * more if end.ipv4_prefixes else (),
        dscp=draw(st.sampled_from([end.dscp, None, 46])),
    )


def alternatives(draw: st.DrawFn, standing: Corridor) -> Corridor:
    """Another wish for a standing corridor, its ends untouched."""
    rates = draw(st.lists(st.integers(1, 900_000), min_size=1, max_size=3))
    isolation = draw(st.sampled_from(Isolation))
    return replace(
        standing,
        profiles=tuple(Profile(f"p{i}", rate) for i, rate in enumerate(rates)),
        active_profile=f"p{draw(st.integers(0, len(rates) - 1))}",
        reservation=draw(st.sampled_from(Reservation)),
        isolation=isolation,
        mtu_bytes=draw(st.sampled_from([1500, 4000])),
    )


def try_to(net: Network, wanted: Corridor) -> Record | None:
    try:
        return net.ask(wanted)
    except Refused as refusal:
        event(refusal.reason)
        return None


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_history_loses_nothing_and_mixes_no_tenants(data: st.DataObject) -> None:
    net = Network.of(data.draw(domains()))
    for number in range(data.draw(st.integers(1, 4))):
        wanted = data.draw(corridors_on(net.topology, f"c{number}"))
        if try_to(net, wanted):
            walk_through(net, wanted.name)
    for _ in range(data.draw(st.integers(0, 3))):
        if not net.records:
            return
        record = net.records[data.draw(st.sampled_from(sorted(net.records)))]
        assert record.target is not None
        kind = data.draw(st.sampled_from(["change", "cut", "remove"]))
        event(kind)
        before, kept = net.tables(), list(flows(net, record.target))
        if kind == "cut":
            net.link(data.draw(st.sampled_from(fibre_route(net, record.target))).rsplit("/", 1)[1], Status.DOWN)
        if kind == "remove":
            net.remove(record.name)
        elif not try_to(net, alternatives(data.draw, record.corridor) if kind == "change" else record.corridor):
            continue
        for tables in walk_through(net, record.name):
            for flow in kept if kind != "remove" else ():
                carried(net, before, tables, flow, record.target.vrf)
            before = tables


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_changes_of_many_corridors_under_way_at_once(data: st.DataObject) -> None:
    """Ends, profiles and isolation change in any interleaving: what is steered arrives, and nothing else does."""
    net = Network.of(data.draw(domains(4)))
    for number in range(data.draw(st.integers(2, 16))):
        busy = sorted(n for n, r in net.records.items() if r.stage is not Stage.SETTLED)
        calm = sorted(net.records.keys() - set(busy))
        kinds = ["new", *["step"] * (3 * bool(busy)), *["change", "remove"] * bool(calm)]
        match data.draw(st.sampled_from(kinds)):
            case "new":
                try_to(net, data.draw(corridors_on(net.topology, f"c{number}")))
            case "step":
                net.step(data.draw(st.sampled_from(busy)))
            case "remove":
                net.remove(data.draw(st.sampled_from(calm)))
            case _:
                wanted = alternatives(data.draw, net.records[data.draw(st.sampled_from(calm))].corridor)
                a_end, z_end = (other_ends(data.draw, end) for end in (wanted.a_end, wanted.z_end))
                try_to(net, replace(wanted, a_end=a_end, z_end=z_end))
        consistent(net.tables())
        all_arrive(net)
