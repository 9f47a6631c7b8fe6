"""Refusals are true: what they name as accepted is accepted when asked for, and a little more is not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from networks import Network, adjacency, corridor, corridors_on, domain, domains, fibre, link_name, node_name, square

from controller.core.alternatives import capped, plan_or_explain
from controller.core.errors import Infeasible, Refused
from controller.core.model import Container, Corridor, Isolation, LinkKind, PathConstraints, Status
from controller.core.names import short
from controller.core.plan import plan


def explained(net: Network, wanted: Corridor) -> Infeasible:
    with pytest.raises(Infeasible) as refusal:
        plan_or_explain(net.snapshot, wanted)
    return refusal.value


def accepted(net: Network, wanted: Corridor) -> bool:
    try:
        plan(net.snapshot, wanted)
    except Infeasible:
        return False
    return True


def constrained(wanted: Corridor, **fields: object) -> Corridor:
    return replace(wanted, path_constraints=replace(wanted.path_constraints, **fields))  # type: ignore[arg-type]


def without(wanted: Corridor, name: str) -> Corridor:
    """Without one exclusion or inclusion, wherever it stands."""
    asked = wanted.path_constraints
    fields = ("exclude_nodes", "exclude_links", "include_nodes", "include_links")
    return constrained(wanted, **{f: tuple(x for x in getattr(asked, f) if x != name) for f in fields})


@st.composite
def wishes(draw: st.DrawFn, net: Network) -> Corridor:
    """Wishes with bounds and exclusions, many of them more than the network has."""
    wanted = draw(corridors_on(net.topology, "wish"))
    kind = LinkKind.FIBRE if wanted.isolation is Isolation.HARD else LinkKind.ADJACENCY
    links = sorted(link.name for link in net.topology.of_kind(kind))
    out = draw(st.lists(st.sampled_from(links), max_size=2, unique=True)) if links else []
    wanted = replace(wanted, max_latency_us=draw(st.sampled_from([0, 0, 300, 700, 1500])))
    nodes = sorted(node.name for node in net.topology.routers)
    return constrained(
        wanted,
        exclude_links=tuple(out),
        max_hops=draw(st.sampled_from([0, 0, 1, 2])),
        include_nodes=tuple(draw(st.lists(st.sampled_from(nodes), max_size=1))),
    )


@st.composite
def filled(draw: st.DrawFn) -> Network:
    """A domain with some corridors in it."""
    net = Network.of(draw(domains()))
    for number in range(draw(st.integers(0, 4))):
        with suppress(Refused):
            net.stand(draw(corridors_on(net.topology, f"c{number}")))
    return net


def told_of(net: Network, wanted: Corridor) -> dict[str, str]:
    """A refusal's figures; none where the wish is granted, or wrong in itself."""
    try:
        plan_or_explain(net.snapshot, wanted)
    except Infeasible as refusal:
        return refusal.metadata
    except Refused:
        pass
    return {}


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_what_a_refusal_names_is_accepted_when_asked_for(data: st.DataObject) -> None:
    net = data.draw(filled())
    wanted = data.draw(wishes(net))
    told = told_of(net, wanted)
    if not told:
        return
    for key in ("maxBandwidthKbps", "minLatencyUs", "minHops", "withoutExclusion"):
        event(f"{key}: {key in told}")
    if kbps := int(told.get("maxBandwidthKbps", 0)):
        assert accepted(net, capped(wanted, kbps))
        assert not accepted(net, capped(wanted, kbps + 1))
    if bound := int(told.get("minLatencyUs", 0)):
        assert accepted(net, replace(wanted, max_latency_us=bound))
        assert not accepted(net, replace(wanted, max_latency_us=bound - 1))
    if hops := int(told.get("minHops", 0)):
        assert accepted(net, constrained(wanted, max_hops=hops))
        assert not accepted(net, constrained(wanted, max_hops=hops - 1))
    for name in filter(None, told.get("withoutExclusion", "").split(",")):
        assert accepted(net, without(wanted, name) if name != "all" else constrained(wanted, exclude_links=()))
    for name in filter(None, told.get("withoutInclusion", "").split(",")):
        assert accepted(net, without(wanted, name))
    assert "maxBandwidthKbps" in told or not accepted(net, capped(wanted, 1)), "then no bandwidth at all would do"


@pytest.mark.parametrize("isolation", Isolation)
def test_the_binding_link_really_lacks_what_is_said(isolation: Isolation) -> None:
    """Two ways: the near one is nearly full, the far one too late."""
    links = [
        fibre("F-near", 1, 2, 50, (Container.ODU0,), 2),
        fibre("F-far", 1, 2, 900),
        adjacency("A-near", 1, 2, ["F-near"], 50),
        adjacency("A-far", 1, 2, ["F-far"], 900),
    ]
    net = Network.of(domain((1, 2), links))
    net.stand(corridor("big", 1, 2, isolation, (900_000,), "globex"))
    wanted = corridor("late", 1, 2, isolation, (700_000,), max_latency_us=500)
    refusal = explained(net, wanted)
    prefix = "F" if isolation is Isolation.HARD else "A"
    assert set(refusal.metadata["binding"].split(",")) == {"NO_CAPACITY", "LATENCY_BOUND"}
    assert refusal.metadata["bindingLink"] == link_name(f"{prefix}-near")
    have, need = int(refusal.metadata["have"]), int(refusal.metadata["need"])
    assert have < need
    layer = net.snapshot.layers.optical if isolation is Isolation.HARD else net.snapshot.layers.packet
    assert have == min(int(layer.room[layer.arc(link_name(f"{prefix}-near"), way)]) for way in (0, 1))
    assert int(refusal.metadata["latencyUs"]) > 500
    assert accepted(net, replace(wanted, max_latency_us=int(refusal.metadata["minLatencyUs"])))
    assert accepted(net, capped(wanted, int(refusal.metadata["maxBandwidthKbps"])))


def test_of_several_exclusions_those_that_stand_in_the_way_are_named() -> None:
    net = Network.of(square())
    out = tuple(link_name(name) for name in ("F-12", "F-23", "F-13", "F-41", "F-34"))
    refusal = explained(net, constrained(corridor(a=1, z=3), exclude_links=out))
    assert refusal.reason == "EXCLUDED"
    assert refusal.metadata["withoutExclusion"] == link_name("F-13")
    assert short(refusal.metadata["withoutExclusion"]) in refusal.message


def test_where_only_all_exclusions_together_stand_in_the_way_that_is_said() -> None:
    net = Network.of(square())
    wanted = constrained(corridor(a=2, z=3), exclude_links=tuple(link_name(n) for n in ("F-12", "F-23")))
    far = replace(wanted, path_constraints=replace(wanted.path_constraints, exclude_nodes=(node_name("o1"),)))
    assert explained(net, far).metadata["withoutExclusion"] == link_name("F-23")
    both = constrained(corridor(a=1, z=2), exclude_links=(link_name("F-12"), link_name("F-23")), exclude_nodes=())
    net.link("F-34", Status.DOWN)
    assert set(explained(net, both).metadata["withoutExclusion"].split(",")) == {link_name("F-12"), link_name("F-23")}


def test_an_included_place_that_cannot_be_passed_is_named() -> None:
    net = Network.of(square())
    net.link("F-34", Status.DOWN)
    wanted = constrained(corridor(a=1, z=2), include_nodes=(node_name("o4"),))
    refusal = explained(net, wanted)
    assert refusal.reason == "NOT_INCLUDED"
    assert refusal.metadata["withoutInclusion"] == node_name("o4")
    assert accepted(net, constrained(wanted, include_nodes=()))


def test_what_is_cut_off_has_no_alternative_but_names_the_links() -> None:
    net = Network.of(square())
    for name in ("F-12", "F-23"):
        net.link(name, Status.DOWN)
    refusal = explained(net, corridor(a=1, z=2))
    assert refusal.reason == "NO_PATH"
    assert refusal.metadata["links"] == link_name("F-12")
    assert not refusal.metadata.keys() & {"maxBandwidthKbps", "minLatencyUs", "withoutExclusion"}
    assert PathConstraints() == corridor().path_constraints


def test_the_least_jitter_that_a_path_has_is_offered() -> None:
    net = Network.of(square())
    links = {
        name: replace(link, jitter_us={"F-12": 7, "F-23": 5, "F-13": 40}.get(short(name), 30))
        for name, link in net.topology.links.items()
    }
    net = Network.of(replace(net.topology, links=links), up=False)
    refusal = explained(net, constrained(corridor(a=1, z=3), max_jitter_us=11))
    assert (refusal.reason, refusal.metadata["minJitterUs"]) == ("JITTER_BOUND", "12")
    assert accepted(net, constrained(corridor(a=1, z=3), max_jitter_us=12))


def test_a_standing_corridor_is_offered_what_it_could_have_elsewhere() -> None:
    """It stands on the long way, for the short one was down; and its own slots are room for itself."""
    links = [fibre("F-near", 1, 2, 50, (Container.ODU0,), 2), fibre("F-far", 1, 2, 900, (Container.ODU0,))]
    net = Network.of(domain((1, 2), [*links, adjacency("A-near", 1, 2, ["F-near"], 50)]))
    net.link("F-near", Status.DOWN)
    standing = net.stand(corridor(a=1, z=2, rates=(600_000,)))
    net.link("F-near", Status.UP)
    late = explained(net, replace(standing.corridor, max_latency_us=100)).metadata
    assert int(late["minLatencyUs"]) < 500
    assert accepted(net, replace(standing.corridor, max_latency_us=int(late["minLatencyUs"])))
    net.stand(corridor("other", 1, 2, rates=(1_000_000,), tenant="globex"))
    profile = replace(standing.corridor.profiles[0], bandwidth_kbps=9_000_000)
    wide = replace(standing.corridor, profiles=(profile,))
    most = int(explained(net, wide).metadata["maxBandwidthKbps"])
    assert most > 1_000_000, "all that a fibre has beside the other"
    assert not accepted(net, capped(wide, most + 1))
    assert accepted(net, capped(wide, most))
