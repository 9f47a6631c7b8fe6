"""What routers cannot do is heeded where a corridor is placed: packets too large, lists too long, protection."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journeys import all_arrive
from networks import Network, chain, corridor, domains, link_name, node_name, prefixes, square

from controller.core.admission import validate
from controller.core.alternatives import plan_or_explain
from controller.core.errors import FailedPrecondition, Infeasible
from controller.core.model import (
    Capabilities,
    EndPoint,
    Isolation,
    LinkKind,
    Liveness,
    Neighbor,
    PathConstraints,
    Protection,
    Status,
)
from controller.core.plan import plan
from controller.core.topology import NodeChanged

PLAIN = Capabilities(shaping=False, liveness=Liveness.LOCAL_PORT, resolves_neighbors=False, fenced=False)


def able(net: Network, sites: dict[int, Capabilities]) -> Network:
    for site, capabilities in sites.items():
        net.topology = net.topology.apply(NodeChanged(node_name(f"r{site}"), Status.UP, capabilities))
    return net


def of_mtu(net: Network, mtus: dict[int, int]) -> Network:
    return able(net, {site: Capabilities(mtu_bytes=mtu) for site, mtu in mtus.items()})


def refusal_of(net: Network, **fields: object) -> Infeasible:
    with pytest.raises(Infeasible) as refusal:
        net.ask(corridor(**fields))  # type: ignore[arg-type]
    return refusal.value


@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("site", [1, 3])
def test_an_end_too_small_for_its_packets_is_named_with_its_figure(isolation: Isolation, site: int) -> None:
    """1500 of the customer, 40 of the outer header."""
    refused = refusal_of(of_mtu(Network.of(square()), {site: 1539}), isolation=isolation)
    end = node_name(f"r{site}")
    assert refused.reason == "MTU"
    assert refused.metadata == {"nodes": end, "mtuBytes": "1539", "neededBytes": "1540"}
    assert f"{end} forwards 1539 bytes, 1540 are needed" in refused.message
    assert of_mtu(Network.of(square()), {site: 1540}).stand(corridor(isolation=isolation))
    assert of_mtu(Network.of(square()), {site: 1539}).stand(corridor(isolation=isolation, mtu_bytes=1499))


def test_both_ends_that_are_too_small_are_named_with_the_smaller_figure() -> None:
    refused = refusal_of(of_mtu(Network.of(square()), {1: 1500, 3: 1400}), isolation=Isolation.SOFT)
    assert refused.metadata["nodes"] == f"{node_name('r1')},{node_name('r3')}"
    assert refused.metadata["mtuBytes"] == "1400"


def test_a_path_goes_around_a_router_that_is_too_small() -> None:
    """By 2 it takes 210 µs, by 4 250; a slice passes no router, so what 2 can do is none of its business."""
    for mtu, through in ((1540, "r2"), (1539, "r4")):
        net = of_mtu(Network.of(square()), {2: mtu})
        record = net.stand(corridor(isolation=Isolation.SOFT))
        assert record.target is not None
        assert record.target.leg.nodes == tuple(map(node_name, ("r1", through, "r3")))
        all_arrive(net)
        assert net.stand(corridor("hard", isolation=Isolation.HARD, tenant="globex"))


def test_where_there_is_no_way_around_the_router_is_named() -> None:
    net = of_mtu(Network.of(chain(4)), {2: 1500, 3: 1501, 4: 9000})
    refused = refusal_of(net, a=1, z=4, isolation=Isolation.SOFT)
    assert (refused.reason, refused.metadata["neededBytes"]) == ("MTU", "1540")
    assert set(refused.metadata["nodes"].split(",")) == {node_name("r2"), node_name("r3")}
    assert refused.metadata["mtuBytes"] == "1500"


BY_2 = {"node": PathConstraints(include_nodes=(node_name("r2"),))}
BY_2["link"] = PathConstraints(include_links=(link_name("A-32"),))


@pytest.mark.parametrize("asked", BY_2.values(), ids=BY_2.keys())
def test_a_router_that_is_asked_for_and_too_small_is_named_with_its_figure(asked: PathConstraints) -> None:
    """Itself, or an adjacency that ends there; in a new corridor as in one that stands. Nobody excluded it."""
    net = Network.of(square())
    record = net.stand(corridor(isolation=Isolation.SOFT, path_constraints=asked))
    of_mtu(net, {2: 1500})
    new = corridor("new", tenant="globex", isolation=Isolation.SOFT, path_constraints=asked)
    for wanted in (new, record.corridor):
        with pytest.raises(Infeasible) as refusal:
            plan_or_explain(net.snapshot, wanted)
        assert refusal.value.reason == "MTU"
        told = refusal.value.metadata
        assert (told["nodes"], told["mtuBytes"], told["neededBytes"]) == (node_name("r2"), "1500", "1540")
        assert told["maxMtuBytes"] == "1460"
        assert told["withoutInclusion"] in (*asked.include_nodes, *asked.include_links)


@settings(max_examples=30, deadline=None)
@given(end=st.integers(1300, 9000), transit=st.integers(1300, 9000), isolation=st.sampled_from(Isolation))
def test_the_largest_packet_that_would_do_is_told(end: int, transit: int, isolation: Isolation) -> None:
    """Both sides of what is told are planned; a slice passes no router between its ends."""
    net = of_mtu(Network.of(chain(3)), {1: end, 2: transit})
    wanted = corridor(a=1, z=3, isolation=isolation, mtu_bytes=9000, reference_packet_bytes=1280)
    with pytest.raises(Infeasible) as refusal:
        plan_or_explain(net.snapshot, wanted)
    least = min(end, transit) if isolation is Isolation.SOFT else end
    if least < 1280 + 40:
        assert "maxMtuBytes" not in refusal.value.metadata
        return
    told = int(refusal.value.metadata["maxMtuBytes"])
    assert told == least - 40
    assert plan(net.snapshot, replace(wanted, mtu_bytes=told))
    with pytest.raises(Infeasible):
        plan(net.snapshot, replace(wanted, mtu_bytes=told + 1))


def test_what_fails_for_another_reason_is_said_to() -> None:
    net = of_mtu(Network.of(square()), {4: 1500})
    refused = refusal_of(net, isolation=Isolation.SOFT, rates=(5_000_000,))
    assert refused.reason == "NO_CAPACITY"


def test_a_corridor_leaves_a_router_that_has_become_too_small() -> None:
    net = Network.of(square())
    record = net.stand(corridor(isolation=Isolation.SOFT))
    assert record.target is not None
    assert node_name("r2") in record.target.leg.nodes
    moved = of_mtu(net, {2: 1500}).stand(replace(record.corridor, active_profile="p1"))
    assert moved.target is not None
    assert node_name("r2") not in moved.target.leg.nodes


@pytest.mark.parametrize("isolation", Isolation)
def test_an_end_that_has_become_too_small_holds_up_no_change_that_asks_no_more_of_it(isolation: Isolation) -> None:
    """Smaller packets still pass: without a new path nothing would, nor more of them without another profile."""
    net = Network.of(square())
    record = net.stand(corridor(isolation=isolation))
    assert record.target is not None
    of_mtu(net, {3: 1500})
    switched = net.stand(replace(record.corridor, active_profile="p1"))
    net.link("F-12", Status.DOWN)
    net.link("F-13", Status.DOWN)
    moved = net.stand(switched.corridor)
    assert moved.target is not None
    assert link_name("F-12") not in moved.target.leg.links
    assert link_name("A-12") not in moved.target.leg.links
    all_arrive(net)


@pytest.mark.parametrize("isolation", Isolation)
def test_an_end_that_has_become_too_small_is_judged_again_for_more(isolation: Isolation) -> None:
    """Larger packets, or an end that was not one before; another corridor is judged by its own."""
    net = Network.of(square())
    stood = net.stand(corridor(isolation=isolation)).corridor
    of_mtu(net, {3: 1500, 4: 1500})
    elsewhere = replace(stood, z_end=corridor(z=4).z_end)
    for wanted in (replace(stood, mtu_bytes=1501), elsewhere, corridor("new", tenant="globex", isolation=isolation)):
        with pytest.raises(Infeasible) as refusal:
            plan(net.snapshot, wanted)
        assert refusal.value.reason == "MTU"


def test_an_end_that_has_become_too_small_is_judged_when_it_would_only_be_passed() -> None:
    net = Network.of(chain(3))
    stood = net.stand(corridor(a=1, z=2, isolation=Isolation.SOFT)).corridor
    of_mtu(net, {2: 1500})
    with pytest.raises(Infeasible) as refusal:
        plan(net.snapshot, replace(stood, z_end=corridor(z=3).z_end))
    assert (refusal.value.reason, refusal.value.metadata["nodes"]) == ("MTU", node_name("r2"))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_placed_if_and_only_if_routers_that_are_large_enough_join_the_ends(data: st.DataObject) -> None:
    """Reachability by networkx. Lists of one carrier only: the second would need more bytes still."""
    net = Network.of(data.draw(domains()))
    sites = sum(name.rsplit("/", 1)[-1].startswith("r") for name in net.topology.nodes)
    mtus = {site: data.draw(st.sampled_from([1539, 1540, 1600])) for site in range(1, sites + 1)}
    of_mtu(net, mtus)
    graph = nx.Graph()
    large = {node_name(f"r{site}") for site, mtu in mtus.items() if mtu >= 1540}
    graph.add_nodes_from(large)
    riders = net.topology.of_kind(LinkKind.ADJACENCY)
    graph.add_edges_from((k.a_node, k.z_node) for k in riders if {k.a_node, k.z_node} <= large)
    ends = node_name("r1"), node_name(f"r{sites}")
    joined = set(ends) <= large and nx.has_path(graph, *ends)
    wanted = corridor(a=1, z=sites, isolation=Isolation.SOFT, rates=(1000,))
    if joined:
        record = net.stand(wanted)
        assert record.target is not None
        assert set(record.target.leg.nodes) <= large
        return
    with pytest.raises(Infeasible) as refusal:
        net.ask(wanted)
    assert refusal.value.reason == "MTU"
    assert set(refusal.value.metadata["nodes"].split(",")).isdisjoint(large)


@pytest.mark.parametrize(("site", "longest"), [(1, 1), (1, 2), (8, 2)])
def test_a_headend_imposes_no_longer_a_list_than_it_can(site: int, longest: int) -> None:
    net = able(Network.of(chain(8, twins=True)), {site: Capabilities(max_carriers=longest)})
    assert refusal_of(net, a=1, z=8, isolation=Isolation.SOFT).reason == "SEGMENT_LIST_TOO_LONG"


FAR_V4, FAR_V6 = "172.16.0.0/16", "2001:db8:7::/48"


def behind(site: int, *asked: str) -> EndPoint:
    """A site's port with these prefixes behind it; the machine that is known there is 10.9.{site}.7 and …::7."""
    families = {"ipv4_prefixes": tuple(p for p in asked if "." in p)}
    families["ipv6_prefixes"] = tuple(p for p in asked if ":" in p)
    return replace(corridor(a=site, z=9 - site).a_end, **families)  # type: ignore[arg-type]


def listed(net: Network, site: int, *addresses: str) -> None:
    """So the topology file knows one more machine each behind the port that `behind` is about."""
    node = net.topology.nodes[node_name(f"r{site}")]
    more = tuple(Neighbor(address, "0a:00:00:00:00:99") for address in addresses)
    first, *rest = node.access_ports
    ports = (replace(first, neighbors=(*first.neighbors, *more)), *rest)
    net.topology = replace(net.topology, nodes={**net.topology.nodes, node.name: replace(node, access_ports=ports)})


@pytest.mark.parametrize("isolation", Isolation)
def test_a_prefix_in_which_nobody_is_known_is_refused_where_the_router_finds_nobody(isolation: Isolation) -> None:
    net = able(Network.of(chain(2)), {2: Capabilities(resolves_neighbors=False)})
    wanted = replace(corridor(a=1, z=2, isolation=isolation), a_end=behind(1, "172.17.0.0/16", "2001:db8:8::/48"))
    wanted = replace(wanted, z_end=behind(2, "10.9.2.0/24", FAR_V4, FAR_V6))
    before = net.snapshot
    with pytest.raises(FailedPrecondition) as refusal:
        plan_or_explain(net.snapshot, wanted)
    assert net.snapshot == before
    assert refusal.value.reason == "NO_NEIGHBOR"
    assert refusal.value.metadata == {"prefixes": f"{FAR_V4},{FAR_V6}", "ports": f"{node_name('r2')}:acme"}
    fields = {each.field: each.description for each in refusal.value.violations}
    assert fields.keys() == {"z_end.ipv4_prefixes[1]", "z_end.ipv6_prefixes[0]"}
    assert FAR_V4 in fields["z_end.ipv4_prefixes[1]"]
    assert f"port acme of {node_name('r2')}" in fields["z_end.ipv4_prefixes[1]"]
    listed(net, 2, "172.16.255.254", "2001:db8:7:ffff::")
    record = net.stand(wanted)
    assert record.target is not None
    all_arrive(net)


@pytest.mark.parametrize("narrower", ["10.9.2.7/32", "10.9.2.6/31", "2001:db8:9:2::7/128", "2001:db8:9:2::/125"])
def test_one_known_machine_is_enough_for_a_prefix(narrower: str) -> None:
    net = able(Network.of(chain(2)), {1: PLAIN, 2: PLAIN})
    a_end = behind(1, *prefixes(1)["." not in narrower])
    assert net.ask(replace(corridor(a=1, z=2), a_end=a_end, z_end=behind(2, narrower)))


def test_subnets_of_a_port_without_any_machine_are_refused_as_well() -> None:
    """An end without prefixes stands for them: what nobody wrote is named too."""
    net = able(Network.of(chain(2)), {2: PLAIN})
    node = net.topology.nodes[node_name("r2")]
    ports = tuple(replace(port, neighbors=()) for port in node.access_ports)
    net.topology = replace(net.topology, nodes={**net.topology.nodes, node.name: replace(node, access_ports=ports)})
    with pytest.raises(FailedPrecondition) as refusal:
        net.ask(replace(corridor(a=1, z=2), a_end=behind(1), z_end=behind(2)))
    assert refusal.value.metadata["prefixes"] == "10.9.2.0/24,2001:db8:9:2::/64"


def test_what_stands_behind_a_port_is_not_asked_again_and_what_is_added_is() -> None:
    """A router was exchanged: restoration and a switch of profile go on, more prefixes do not."""
    net = Network.of(square())
    wanted = replace(corridor(), a_end=behind(1, "10.9.1.0/24"), z_end=behind(3, FAR_V4))
    stood = net.stand(wanted).corridor
    able(net, {3: PLAIN})
    stood = net.stand(replace(stood, active_profile="p1")).corridor
    net.link("F-13", Status.DOWN)
    stood = net.stand(stood).corridor
    for z_end in (
        behind(3, FAR_V4, "172.18.0.0/16"),
        replace(behind(3, FAR_V4), port="acme-b"),
        behind(3, "172.16.0.0/17"),
    ):
        with pytest.raises(FailedPrecondition) as refusal:
            net.ask(replace(stood, z_end=z_end))
        assert refusal.value.reason == "NO_NEIGHBOR"
    assert net.ask(replace(stood, z_end=behind(3, FAR_V4, "10.9.3.0/24")))


@pytest.mark.parametrize(
    ("first", "words"), [(Liveness.LOCAL_PORT, "its own ports only"), (Liveness.REMOTE, "remote links")]
)
def test_soft_protection_is_refused_by_what_each_headend_sees(first: Liveness, words: str) -> None:
    net = able(Network.of(square()), {1: replace(PLAIN, liveness=first)})
    with pytest.raises(FailedPrecondition) as refusal:
        validate(corridor(isolation=Isolation.SOFT, protection=Protection.PROTECT), net.topology)
    assert refusal.value.reason == "PROTECT_NOT_OFFERED"
    nodes = f"{node_name('r1')},{node_name('r3')}"
    assert refusal.value.metadata == {"nodes": nodes, "liveness": f"{first},LOCAL_PORT"}
    assert f"{node_name('r1')} sees failures of {words}" in refusal.value.message


def test_hard_protection_does_not_ask_what_routers_see() -> None:
    net = able(Network.of(square()), {1: PLAIN, 3: PLAIN})
    record = net.stand(corridor(protection=Protection.PROTECT))
    assert record.target is not None
    assert record.target.protection is not None
