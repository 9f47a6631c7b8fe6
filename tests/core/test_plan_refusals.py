"""What is refused, why, with which figures, and that a refusal changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bookkeeping import slice_of, slots
from networks import (
    Network,
    chain,
    corridor,
    domain,
    end_point,
    fibre,
    link_name,
    node_name,
    square,
)

from controller.core.errors import Infeasible, Invalid
from controller.core.model import (
    Container,
    Corridor,
    EndPoint,
    Isolation,
    LinkKind,
    Method,
    Protection,
    Reservation,
    Stage,
    Status,
)
from controller.core.topology import LinkChanged, LinkUnplanned, NodeChanged


def refused(net: Network, wanted: Corridor) -> Infeasible:
    """The refusal of a wish; everything stays as it was."""
    before = net.topology, net.ledger, net.ids, dict(net.records)
    rows, assigned = dict(net.ledger.rows), dict(net.ids.assigned)
    with pytest.raises(Infeasible) as refusal:
        net.ask(wanted)
    assert (net.topology, net.ledger, net.ids, net.records) == before
    assert (dict(net.ledger.rows), dict(net.ids.assigned)) == (rows, assigned)
    return refusal.value


def test_a_latency_bound_is_met_or_refused_with_figures() -> None:
    soft = Isolation.SOFT
    net = Network.of(square())
    record = net.stand(corridor("free", isolation=soft, tenant="globex"))
    assert record.target is not None
    least = record.target.leg.latency_us
    net.stand(corridor("met", isolation=soft, max_latency_us=least))
    net.take_away("tenants/acme/corridors/met")
    refusal = refused(net, corridor("unmet", isolation=soft, max_latency_us=least - 1))
    assert refusal.reason == "LATENCY_BOUND"
    figures = {key: refusal.metadata[key] for key in ("latencyUs", "boundUs")}
    assert figures == {"latencyUs": str(least), "boundUs": str(least - 1)}
    assert str(least) in str(refusal)
    assert str(least - 1) in str(refusal)


def test_a_hard_bound_below_what_light_and_nodes_take_is_refused() -> None:
    """170 µs on F-13 whatever the slots: then 1 µs is left to clock a packet in, but there are not so many slots."""
    refusal = refused(Network.of(square()), corridor(max_latency_us=170))
    assert refusal.reason == "LATENCY_BOUND"
    assert refusal.metadata["boundUs"] == "170"


def test_a_bound_tightened_beyond_the_network_is_a_matter_of_latency() -> None:
    net = Network.of(chain(2, servers=(Container.ODU0,)))
    standing = net.stand(corridor(a=1, z=2, rates=(700_000,)))
    bound = 20 + 2 * (15 + 25)
    assert "LATENCY_BOUND" in refused(net, replace(standing.corridor, max_latency_us=bound)).metadata["binding"]


@pytest.mark.parametrize("isolation", Isolation)
def test_when_all_is_full_the_refusal_names_the_links(isolation: Isolation) -> None:
    net = Network.of(chain(3, servers=(Container.ODU0,), line_slots=2))
    net.stand(corridor("first", a=1, z=2, isolation=isolation, rates=(700_000,), tenant="globex"))
    refusal = refused(net, corridor(a=1, z=3, isolation=isolation, rates=(700_000,)))
    assert refusal.reason == "NO_CAPACITY"
    kind = "F" if isolation is Isolation.HARD else "A"
    assert refusal.metadata["links"] == link_name(f"{kind}-1-2")
    assert net.stand(corridor("small", a=1, z=3, isolation=isolation, rates=(400_000,)))


def test_one_direction_full_is_full() -> None:
    net = Network.of(chain(2))
    net.stand(corridor("up", 1, 2, Isolation.SOFT, (1_000_000,), "globex", reverse=1_000))
    assert refused(net, corridor("down", 1, 2, Isolation.SOFT, (500_000,), reverse=1)).reason == "NO_CAPACITY"
    assert net.stand(corridor("ok", 1, 2, Isolation.SOFT, (1_000,), reverse=900_000))


def test_an_active_corridor_may_be_refused_its_switch_a_peak_one_is_not() -> None:
    for reservation in Reservation:
        net = Network.of(chain(2, servers=(Container.ODU0,), line_slots=2))
        standing = net.stand(corridor(a=1, z=2, rates=(20_000, 700_000), reservation=reservation))
        rival = corridor("rival", 1, 2, rates=(500_000,), tenant="globex")
        net.stand(rival) if reservation is Reservation.ACTIVE else refused(net, rival)
        switch = replace(standing.corridor, active_profile="p1")
        if reservation is Reservation.PEAK:
            assert slice_of(net.stand(switch)).active_slots == slots(700_000)
        else:
            refusal = refused(net, switch)
            assert refusal.reason == "NO_CAPACITY"
            assert refusal.metadata["links"] == link_name("F-1-2")


def test_larger_than_any_container_is_refused() -> None:
    """8 slots of an ODU2 carry 9.99 Gbit/s."""
    refusal = refused(Network.of(square()), corridor(rates=(10_000_000,)))
    assert refusal.reason == "CONTAINER_TOO_SMALL"


def mixed_lines() -> Network:
    """Lines of ODU2 between 1, 2 and 3, one of ODU4 on to 4; 2 Gbit/s, two slots of eight, from 1 to 3."""
    links = [fibre("F-12", 1, 2), fibre("F-23", 2, 3), replace(fibre("F-34", 3, 4, 60, (), 80), line=Container.ODU4)]
    net = Network.of(domain(range(1, 5), [replace(link, servers=()) for link in links]))
    net.stand(corridor("small", 1, 3, rates=(2_000_000,), tenant="globex"))
    return net


def test_what_has_no_room_on_small_lines_is_not_said_to_be_cut_off_on_large_ones() -> None:
    """8 Gbit/s are 7 slots of 1.25G; nobody who goes from 1 to 3 can use a line of ODU4."""
    for protection in Protection.RESTORE, Protection.PROTECT:
        refusal = refused(mixed_lines(), corridor(a=1, z=3, rates=(8_000_000,), protection=protection))
        told = refusal.metadata
        assert (refusal.reason, told["have"], told["need"]) == ("NO_CAPACITY", "6", "7")
        assert set(told["links"].split(",")) == {link_name("F-12"), link_name("F-23")}


def test_what_only_lines_elsewhere_can_carry_is_too_large_here() -> None:
    refusal = refused(mixed_lines(), corridor(a=1, z=3, rates=(30_000_000,)))
    assert refusal.reason == "CONTAINER_TOO_SMALL"
    assert "ODU2" in str(refusal)


def test_of_lines_of_two_kinds_only_those_that_are_down_cannot_be_used() -> None:
    net = mixed_lines()
    net.link("F-12", Status.DOWN)
    for rate in (8_000_000, 30_000_000):
        refusal = refused(net, corridor(a=1, z=3, rates=(rate,)))
        assert refusal.reason == "NO_PATH"
        assert link_name("F-12") in str(refusal)
        assert link_name("F-23") not in str(refusal)


def test_without_any_path_the_refusal_says_so() -> None:
    net = Network.of(chain(3))
    net.link("F-2-3", Status.DOWN)
    for isolation in Isolation:
        assert refused(net, corridor(isolation=isolation)).reason == "NO_PATH"
    assert net.stand(corridor(a=1, z=2))


@pytest.mark.parametrize("status", [Status.DOWN, Status.UNREACHABLE, Status.MISSING])
@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("node", ["r1", "r3", "o1", "o3"])
def test_nothing_new_is_placed_on_ends_that_do_not_answer(status: Status, isolation: Isolation, node: str) -> None:
    net = Network.of(square())
    net.topology = net.topology.apply(NodeChanged(node_name(node), status))
    if isolation is Isolation.SOFT and node.startswith("o"):
        for link in net.topology.of_kind(LinkKind.ADJACENCY):
            if node_name(node.replace("o", "r")) in (link.a_node, link.z_node):
                net.topology = net.topology.apply(LinkChanged(link.name, Status.DOWN))
    assert refused(net, corridor(isolation=isolation)).reason == "NO_PATH"


@pytest.mark.parametrize("up", [True, False])
def test_a_hard_corridor_needs_its_client_links(up: bool) -> None:
    net = Network.of(square())
    net.topology = net.topology.apply(LinkChanged(link_name("C-r3"), Status.UP if up else Status.DOWN))
    if up:
        net.stand(corridor())
    else:
        assert refused(net, corridor()).reason == "NO_PATH"


def test_a_router_plugged_in_elsewhere_does_not_change_where_it_belongs() -> None:
    net = Network.of(square())
    planned = net.topology.links[link_name("C-r1")]
    stray = replace(planned, name=link_name("stray"), z_node=node_name("o2"), z_port=9)
    net.topology = net.topology.apply(LinkUnplanned(stray))
    record = net.stand(corridor())
    assert [h.link for h in slice_of(record).hops] == [link_name("F-13")]


def test_links_that_cannot_carry_its_packets_are_refused_with_figures() -> None:
    net = Network.of(square())
    small = {n: replace(link, mtu_bytes=2000) for n, link in net.topology.links.items()}
    net.topology = replace(net.topology, links=small)
    assert net.stand(corridor("fits", mtu_bytes=1960, tenant="globex"))
    refusal = refused(net, corridor(mtu_bytes=1961))
    assert refusal.reason == "MTU"
    assert refusal.metadata["neededBytes"] == "2001"


def test_two_corridors_of_a_tenant_may_not_ask_for_the_same_traffic() -> None:
    net = Network.of(square())
    net.stand(corridor())
    other = corridor("c2", isolation=Isolation.SOFT)
    for wanted in (other, replace(other, a_end=other.z_end, z_end=other.a_end)):
        with pytest.raises(Invalid, match="already carries") as refusal:
            net.ask(wanted)
        assert refusal.value.reason == "SAME_TRAFFIC"
    assert net.stand(replace(other, name="tenants/globex/corridors/c2", a_end=end_point(1, "globex"),
                             z_end=end_point(3, "globex")))  # fmt: skip


def test_the_same_traffic_is_known_in_any_spelling() -> None:
    net = Network.of(square())
    ends = [EndPoint(node_name(f"r{site}"), "acme", (), (f"2001:db8:9:{site}::/64",)) for site in (1, 3)]
    net.stand(replace(corridor(), a_end=ends[0], z_end=ends[1]))
    spelled = replace(ends[0], ipv6_prefixes=("2001:0DB8:0009:0001:0::/64",))
    with pytest.raises(Invalid, match="already carries"):
        net.ask(replace(corridor("c2"), a_end=spelled, z_end=ends[1]))


def test_traffic_is_given_up_only_when_the_change_is_through() -> None:
    """While c1 moves to other prefixes its old ones still steer, and a roll-back would bring them back."""
    net = Network.of(square())
    standing = net.stand(corridor())
    elsewhere = EndPoint(node_name("r3"), "acme", ("10.77.3.0/24",), ("2001:db8:77:3::/64",))
    net.ask(replace(standing.corridor, z_end=elsewhere))
    second = corridor("c2", isolation=Isolation.SOFT)
    for stage in (Stage.BUILD, Stage.STEER, Stage.CLEAN):
        assert net.records[standing.name].stage is stage
        for wanted in (second, replace(second, z_end=elsewhere)):
            with pytest.raises(Invalid, match="already carries"):
                net.ask(wanted)
        net.step(standing.name)
    assert net.stand(second)


def test_a_prefix_is_behind_one_port_of_a_router() -> None:
    net = Network.of(square())
    net.stand(corridor())
    wanted = replace(corridor("c2", a=2, z=3), z_end=end_point(3, "acme", "acme-b"))
    with pytest.raises(Invalid, match=r"z_end\.port") as refusal:
        net.ask(wanted)
    assert refusal.value.reason == "PREFIX_BEHIND_OTHER_PORT"
    assert net.stand(corridor("c2", a=2, z=3))


def test_a_prefix_may_be_behind_another_port_of_another_router() -> None:
    """A site with two ways in: the same prefix at r3 and r4."""
    net = Network.of(square())
    net.stand(corridor(a=1, z=3))
    elsewhere = replace(end_point(3, "acme"), node=node_name("r4"), port="acme-b")
    assert net.stand(replace(corridor("c2", a=2), z_end=elsewhere))


def test_a_port_that_no_tenant_owns_is_the_first_ones_who_uses_it() -> None:
    planned = square()
    nodes = {
        name: replace(node, access_ports=tuple(replace(port, tenant="") for port in node.access_ports))
        for name, node in planned.nodes.items()
    }
    net = Network.of(replace(planned, nodes=nodes))
    net.stand(corridor())
    rival = corridor("c1", tenant="globex")
    with pytest.raises(Invalid, match=r"a_end\.port") as refusal:
        net.ask(replace(rival, a_end=end_point(1, "acme")))
    assert refusal.value.reason == "PORT_IN_USE"
    assert "tenants/acme" not in str(refusal.value)
    assert net.stand(rival)


def test_a_changed_corridor_does_not_stand_in_its_own_way() -> None:
    net = Network.of(square())
    record = net.stand(corridor())
    again = net.stand(replace(record.corridor, display_name="other")).target
    assert record.target is not None
    assert again is not None
    assert (record.target.leg.path_method, again.leg.path_method) == (Method.SHORTEST, Method.KEPT)
    assert replace(again, leg=replace(again.leg, path_method=Method.SHORTEST)) == record.target
