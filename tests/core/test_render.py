"""Packets walked through what every device shall hold: they arrive where planned, over what was planned, at each stage.

The oracle is `packet_walk`, which knows the pipeline's contract and the RFCs but not the renderer.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from journeys import (
    all_arrive,
    arrives,
    consistent,
    flows,
    port_of,
    world,
)
from networks import (
    TENANTS,
    Network,
    chain,
    corridor,
    end_point,
    node_name,
    square,
)
from packet_walk import Lost, Packet

from controller.core.entries import TableEntry
from controller.core.errors import Infeasible
from controller.core.model import EndPoint, Isolation, LinkKind, Status
from controller.core.render import render_infrastructure


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
    net = Network.of(chain(8, twins=True))
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
    net = Network.of(chain(sites, twins=True))
    record = net.stand(corridor(a=1, z=sites, isolation=Isolation.SOFT))
    assert record.target is not None
    assert len(record.target.leg.forward.carriers) == -(-(sites - 1) // 3)
    all_arrive(net)


def test_where_routes_lead_along_the_path_a_list_is_its_tail() -> None:
    net = Network.of(chain(11))
    record = net.stand(corridor(a=1, z=11, isolation=Isolation.SOFT))
    assert record.target is not None
    leg = record.target.leg
    assert [each.description for each in (leg.forward, leg.reverse)] == ["uDT6(r11, vrf 1)", "uDT6(r1, vrf 1)"]
    all_arrive(net)


def test_a_list_beyond_three_carriers_is_refused() -> None:
    net = Network.of(chain(11, twins=True))
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
    ids = [
        i for s in (2, 3, 4) for n in (net.topology.nodes[node_name(f"r{s}")],) for i in (n.node_id, n.delay_node_id)
    ]
    assert set(hops[True]) == {int(IPv6Address(f"fcbb:bb00:{each:x}::")) for each in ids} == set(hops[False])
    assert hops[True][to_2] != hops[False][to_2]


def test_nothing_of_a_trail_is_asked_for_before_its_ports_are_known() -> None:
    net = Network.of(square(), up=False)
    desired = render_infrastructure(net.topology, net.ids, net.snapshot.underlays[0])
    assert set(desired) == {node_name(f"r{site}") for site in range(1, 5)}
    kinds = {getattr(e, "table", "") for entries in desired.values() for e in entries.values()}
    assert kinds == {"local_sid", "node_address", "tunnel_source", "edge_filter"}


def test_every_router_guards_its_edge_and_owns_its_locator() -> None:
    net = Network.of(square())
    for site in range(1, 5):
        rows = [e for e in net.tables()[node_name(f"r{site}")] if isinstance(e, TableEntry)]
        guarded = {(IPv6Address(d.value), d.prefix_len) for e in rows if e.table == "edge_filter" for _, d in e.match}  # type: ignore[union-attr,misc]
        assert guarded == {(IPv6Address("fcbb:bb00::"), 32), (IPv6Address("fdc0:de::"), 32)}
        own = [d for e in rows if e.action == "u_n" for _, d in e.match]
        ids = site, net.topology.nodes[node_name(f"r{site}")].delay_node_id
        expected = {(int(IPv6Address(f"fcbb:bb00:{each:x}::")), 48) for each in ids}
        assert {(d.value, d.prefix_len) for d in own} == expected  # type: ignore[union-attr]
