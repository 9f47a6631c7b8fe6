"""Routes follow the topology, but never before the segment lists: a packet keeps to its corridor's path throughout."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st
from journeys import all_arrive
from networks import Network, adjacency, corridor, domain, domains, fibre, link_name, node_name

from controller.core.errors import Refused
from controller.core.model import Corridor, Isolation, LinkKind, Stage, Status
from controller.core.records import Record
from controller.core.topology import Topology

NAME = "tenants/acme/corridors/c1"


def ring() -> Topology:
    """Five sites in a ring, and a chord 2-4 over which routes would rather run."""
    links = []
    for a, z, metric in ((1, 2, 100), (2, 3, 100), (3, 4, 100), (4, 5, 400), (5, 1, 400), (2, 4, 50)):
        links += [fibre(f"F-{a}{z}", a, z, metric), adjacency(f"A-{a}{z}", a, z, [f"F-{a}{z}"], metric)]
    return domain(range(1, 6), links)


def around(**fields: object) -> Corridor:
    """1-2-3-4, not by the chord."""
    wanted = corridor(a=1, z=4, isolation=Isolation.SOFT, **fields)  # type: ignore[arg-type]
    return replace(wanted, path_constraints=replace(wanted.path_constraints, exclude_links=(link_name("A-24"),)))


def description(record: Record) -> str:
    assert record.target is not None
    return record.target.leg.forward.description


def first_route(net: Network, router: str, target: int) -> int:
    """Next hop of a router's route to another's locator of algorithm 0."""
    prefix = int.from_bytes(bytes.fromhex(f"fcbbbb00{target:04x}") + bytes(10))
    rows = net.tables()[node_name(router)]
    (hop,) = [
        dict(e.params)["next_hop"]  # type: ignore[union-attr]
        for e in rows
        if getattr(e, "table", "") == "route_v6" and dict(e.match)["dst"].value == prefix  # type: ignore[union-attr]
    ]
    return hop


def test_a_link_that_comes_back_waits_for_the_lists_that_it_would_lead_astray() -> None:
    net = Network.of(ring())
    net.link("F-24", Status.DOWN)
    record = net.stand(around())
    assert description(record) == "uDT6(r4, vrf 1)", "without the chord routes lead along the path"
    round_about = first_route(net, "r2", 4)
    net.link("F-24", Status.UP)
    assert net.routing is not None
    assert net.routing.waiting == {NAME}
    assert first_route(net, "r2", 4) == round_about
    all_arrive(net)
    renewed = net.ask(record.corridor)
    assert renewed.target is not None
    assert renewed.target.leg.links == record.target.leg.links if record.target else False
    for _ in range(3):
        all_arrive(net)
        assert first_route(net, "r2", 4) == round_about, "while the old list may still be on its way"
        net.step(NAME)
    assert net.routing.waiting == frozenset()
    assert first_route(net, "r2", 4) != round_about
    assert "r3" in description(net.records[NAME])
    all_arrive(net)


def test_traffic_of_a_cut_corridor_never_strays_over_links_that_are_reserved_for_others() -> None:
    net = Network.of(ring())
    record = net.stand(around(protection="UNPROTECTED"))
    routes = [first_route(net, f"r{site}", 4) for site in (1, 2, 3, 5)]
    net.link("F-34", Status.DOWN)
    assert [first_route(net, f"r{site}", 4) for site in (1, 2, 3, 5)] == routes
    all_arrive(net)  # as far as tables go: to the break
    net.take_away(record.name)
    assert [first_route(net, f"r{site}", 4) for site in (1, 2, 3, 5)] != routes, "nobody minds any more"


def test_held_routes_do_not_keep_a_cut_corridor_from_a_link_that_came_back() -> None:
    net = Network.of(ring())
    net.link("F-24", Status.DOWN)  # nobody is on it: routes drop it
    record = net.stand(corridor(a=1, z=4, isolation=Isolation.SOFT))
    net.link("F-34", Status.DOWN)
    net.link("F-24", Status.UP)
    assert net.routing is not None
    assert net.routing.waiting == {NAME}
    moved = net.stand(record.corridor)
    assert moved.target is not None
    assert moved.target.leg.links == (link_name("A-12"), link_name("A-24"))
    assert not net.routing.waiting
    all_arrive(net)


def test_a_new_list_is_good_for_the_routes_to_come() -> None:
    net = Network.of(ring())
    net.stand(around())
    net.link("F-34", Status.DOWN)
    net.stand(replace(corridor("c2", 1, 3, Isolation.SOFT, tenant="globex")))
    all_arrive(net)
    net.take_away(NAME)
    assert net.routing is not None
    assert not net.routing.waiting
    all_arrive(net)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_comes_and_goes_every_packet_keeps_to_its_path(data: st.DataObject) -> None:
    net = Network.of(data.draw(domains()))
    sites = sorted({node.node_id for node in net.topology.routers})
    fibres = [link.name.rsplit("/", 1)[1] for link in net.topology.of_kind(LinkKind.FIBRE)]
    for number in range(data.draw(st.integers(2, 10))):
        busy = sorted(name for name, r in net.records.items() if r.stage is not Stage.SETTLED)
        kind = data.draw(st.sampled_from(["new", "flip", "flip", *["step", "step"] * bool(busy)]))
        with suppress(Refused):
            if kind == "new":
                a, z = data.draw(st.permutations(sites))[:2]
                net.ask(
                    corridor(
                        f"c{number}", a, z, Isolation.SOFT, (1_000,), data.draw(st.sampled_from(("acme", "globex")))
                    )
                )
            elif kind == "step":
                net.step(data.draw(st.sampled_from(busy)))
            else:
                net.link(data.draw(st.sampled_from(fibres)), data.draw(st.sampled_from([Status.UP, Status.DOWN])))
        assert net.routing is None or bool(net.routing.waiting) == (len(net.routing.underlays) > 1)
        event(f"routes wait: {bool(net.routing and net.routing.waiting)}")
        all_arrive(net)
