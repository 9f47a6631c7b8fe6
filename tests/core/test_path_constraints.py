"""Path constraints: what means nothing is refused by its place, and the rest arrives in the layer that it is for."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Network, adjacency, corridor, domain, domains, fibre, link_name, node_name, otn_node, square

from controller.core.admission import validate
from controller.core.errors import Invalid
from controller.core.graph import Graph, build
from controller.core.model import Corridor, Isolation, Link, LinkKind, NodeKind, Objective, PathConstraints, Status
from controller.core.path_constraints import search_constraints
from controller.core.paths import find
from controller.core.paths.admissible import blocked, require_ends
from controller.core.paths.path import Constraints
from controller.core.topology import LinkUnplanned, Topology

SOFT, HARD = Isolation.SOFT, Isolation.HARD
COLOURED = {"F-12": (("gold",), (7,)), "A-12": (("gold", "green"), (7,)), "A-32": (("green",), ()), "F-34": ((), (9,))}


def coloured() -> Topology:
    """The square (ring 1-2-3-4, chord 1-3; A-13 rides F-12 and F-23), some links with colours and risk groups."""
    topology = square()
    links = [_painted(link) for link in topology.links.values()]
    planned = Topology.planned(topology.domain, topology.srv6_block, topology.nodes.values(), links)
    return Network.of(planned).topology


def _painted(link: Link) -> Link:
    affinities, srlgs = COLOURED.get(link.name.rsplit("/", 1)[-1], ((), ()))
    return replace(link, affinities=affinities, srlgs=srlgs)


NET = coloured()


def nodes(*short: str) -> tuple[str, ...]:
    return tuple(map(node_name, short))


def links(*short: str) -> tuple[str, ...]:
    return tuple(map(link_name, short))


def asking(isolation: Isolation, **constraints: object) -> Corridor:
    """From site 1 to site 3."""
    return corridor(isolation=isolation, path_constraints=PathConstraints(**constraints))  # type: ignore[arg-type]


def searched(wanted: Corridor, topology: Topology = NET) -> Constraints:
    return search_constraints(wanted, topology, demand=3, reverse_demand=2, mtu_bytes=1600, max_delay_us=900)


ROUND = (
    {
        "exclude_nodes": nodes("r2"),
        "include_nodes": nodes("r4"),
        "include_links": links("A-34"),
        "max_hops": 4,
        "max_jitter_us": 9,
    },
    {"exclude_any_affinities": ("gold",), "include_any_affinities": ("green",), "include_all_affinities": ("green",)},
)


def test_without_constraints_the_search_knows_room_size_and_delay_alone() -> None:
    for isolation in Isolation:
        expected = Constraints(demand=3, reverse_demand=2, mtu_bytes=1600, max_delay_us=900)
        assert searched(corridor(isolation=isolation)) == expected


def test_every_constraint_arrives() -> None:
    for asked in ROUND:
        validate(asking(SOFT, **asked), NET)
        told = searched(asking(SOFT, **asked))
        names = {"include_any_affinities": "include_any", "include_all_affinities": "include_all"}
        names["exclude_any_affinities"] = "exclude_any"
        for field, value in asked.items():
            expected = frozenset(value) if isinstance(value, tuple) else value
            assert getattr(told, names.get(field, field)) == expected, field
    assert searched(asking(SOFT, exclude_srlgs=(7, 9))).exclude_srlgs == {7, 9}


def test_a_fibre_takes_its_adjacencies_along() -> None:
    told = searched(asking(SOFT, exclude_links=links("F-12", "A-14")))
    assert told.exclude_links == set(links("A-12", "A-13", "A-14"))


def test_an_otn_node_takes_along_what_passes_it_and_the_router_on_it() -> None:
    told = searched(asking(SOFT, exclude_nodes=nodes("o2")))
    assert told.exclude_links == set(links("A-12", "A-32", "A-13"))
    assert told.exclude_nodes == set(nodes("r2"))


def test_a_router_takes_nothing_along_that_only_passes_its_site_below() -> None:
    told = searched(asking(SOFT, exclude_nodes=nodes("r2")))
    assert (told.exclude_nodes, told.exclude_links) == (set(nodes("r2")), set())


def test_of_a_hard_corridor_a_router_means_its_otn_node() -> None:
    told = searched(
        asking(HARD, exclude_nodes=nodes("r2"), include_nodes=nodes("r4", "o4"), exclude_links=links("F-13"))
    )
    assert (told.exclude_nodes, told.include_nodes) == (set(nodes("o2")), set(nodes("o4")))
    assert told.exclude_links == set(links("F-13"))


def test_an_end_is_visited_anyway() -> None:
    for isolation in Isolation:
        told = searched(asking(isolation, include_nodes=nodes("r1", "r3", "r2")))
        assert told.include_nodes == set(nodes("r2" if isolation is SOFT else "o2"))


BAD: dict[str, tuple[Corridor, str]] = {
    "negative hops": (asking(SOFT, max_hops=-1), "max_hops"),
    "negative jitter": (asking(SOFT, max_jitter_us=-1), "max_jitter_us"),
    "unknown node": (asking(SOFT, include_nodes=nodes("r2", "r9")), "include_nodes[1]"),
    "unknown node excluded": (asking(HARD, exclude_nodes=nodes("r9")), "exclude_nodes[0]"),
    "a short name": (asking(SOFT, exclude_nodes=("r2",)), "exclude_nodes[0]"),
    "unknown link": (asking(SOFT, include_links=links("A-99")), "include_links[0]"),
    "unknown link excluded": (asking(HARD, exclude_links=links("F-12", "F-99")), "exclude_links[1]"),
    "a node among links": (asking(SOFT, exclude_links=nodes("r2")), "exclude_links[0]"),
    "an OTN node to visit softly": (asking(SOFT, include_nodes=nodes("o2")), "include_nodes[0]"),
    "a fibre to use softly": (asking(SOFT, include_links=links("F-12")), "include_links[0]"),
    "an adjacency to use hard": (asking(HARD, include_links=links("A-12")), "include_links[0]"),
    "an adjacency to avoid hard": (asking(HARD, exclude_links=links("A-12")), "exclude_links[0]"),
    "a client link": (asking(SOFT, exclude_links=links("C-r2")), "exclude_links[0]"),
    "a node twice": (asking(SOFT, exclude_nodes=nodes("r2", "r4", "r2")), "exclude_nodes[2]"),
    "a link twice": (asking(HARD, include_links=links("F-12", "F-12")), "include_links[1]"),
    "a group twice": (asking(SOFT, exclude_srlgs=(7, 7)), "exclude_srlgs[1]"),
    "an affinity twice": (asking(SOFT, exclude_any_affinities=("gold", "gold")), "exclude_any_affinities[1]"),
    "unknown group": (asking(SOFT, exclude_srlgs=(7, 8)), "exclude_srlgs[1]"),
    "unknown affinity": (asking(SOFT, include_any_affinities=("blue",)), "include_any_affinities[0]"),
    "empty affinity": (asking(SOFT, include_all_affinities=("gold", "")), "include_all_affinities[1]"),
    "unknown affinity excluded": (asking(SOFT, exclude_any_affinities=("blue",)), "exclude_any_affinities[0]"),
    "a colour in and out": (
        asking(SOFT, include_any_affinities=("green", "gold"), exclude_any_affinities=("gold",)),
        "include_any_affinities[1]",
    ),
    "the router of the A end": (asking(SOFT, exclude_nodes=nodes("r1")), "exclude_nodes[0]"),
    "the router of the Z end": (asking(HARD, exclude_nodes=nodes("r2", "r3")), "exclude_nodes[1]"),
    "the OTN node of an end": (asking(HARD, exclude_nodes=nodes("o3")), "exclude_nodes[0]"),
    "what an end hangs on": (asking(SOFT, exclude_nodes=nodes("o1")), "exclude_nodes[0]"),
    "a node in and out": (asking(SOFT, include_nodes=nodes("r2"), exclude_nodes=nodes("r2")), "include_nodes[0]"),
    "a router in, its OTN node out": (
        asking(SOFT, include_nodes=nodes("r2"), exclude_nodes=nodes("o2")),
        "include_nodes[0]",
    ),
    "the same, hard": (asking(HARD, include_nodes=nodes("r2"), exclude_nodes=nodes("o2")), "include_nodes[0]"),
    "a link in and out": (asking(HARD, include_links=links("F-13"), exclude_links=links("F-13")), "include_links[0]"),
    "a link in, what it rides out": (
        asking(SOFT, include_links=links("A-13"), exclude_links=links("F-23")),
        "include_links[0]",
    ),
    "a link in, its node out": (
        asking(SOFT, include_links=links("A-12"), exclude_nodes=nodes("r2")),
        "include_links[0]",
    ),
    "a link in, its group out": (asking(SOFT, include_links=links("A-12"), exclude_srlgs=(7,)), "include_links[0]"),
    "a link in, its colour out": (
        asking(SOFT, include_links=links("A-12"), exclude_any_affinities=("gold",)),
        "include_links[0]",
    ),
    "a link in of another colour": (
        asking(SOFT, include_links=links("A-32"), include_all_affinities=("green", "gold")),
        "include_links[0]",
    ),
    "a link in of no colour": (
        asking(SOFT, include_links=links("A-34"), include_any_affinities=("gold",)),
        "include_links[0]",
    ),
    "too many places": (asking(SOFT, include_nodes=nodes(*(f"r{n}" for n in range(17)))), "include_nodes"),
}


@pytest.mark.parametrize(("bad", "field"), BAD.values(), ids=BAD.keys())
def test_what_is_no_constraint_is_named(bad: Corridor, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        validate(bad, NET)
    assert f"path_constraints.{field}" in [violation.field for violation in refusal.value.violations]


def test_what_is_wrong_is_said_once() -> None:
    several = {"too many places"}  # most of them are not there either
    for title, (bad, field) in BAD.items():
        with pytest.raises(Invalid) as refusal:
            validate(bad, NET)
        told = [violation.field for violation in refusal.value.violations]
        assert title in several or told == [f"path_constraints.{field}"], title


GOOD = {
    "every objective": [asking(isolation, objective=each) for isolation in Isolation for each in Objective],
    "all that a soft one may name": [
        asking(SOFT, include_nodes=nodes("r4"), exclude_nodes=nodes("r2"), exclude_links=links("A-12")),
        asking(SOFT, include_links=links("A-14"), exclude_nodes=nodes("o2"), exclude_links=links("F-12")),
    ],
    "all that a hard one may name": [
        asking(HARD, include_nodes=nodes("r4"), exclude_nodes=nodes("o2"), exclude_links=links("F-13")),
        asking(HARD, include_nodes=nodes("o4"), include_links=links("F-41"), exclude_nodes=nodes("r2")),
    ],
    "an end to visit": [asking(SOFT, include_nodes=nodes("r1", "r3"))],
    "colours": [asking(SOFT, include_any_affinities=("gold", "green"), include_all_affinities=("green",))],
}


@pytest.mark.parametrize("good", [*chain.from_iterable(GOOD.values())])
def test_good_constraints_pass(good: Corridor) -> None:
    validate(good, NET)


def test_sixteen_places_pass_and_seventeen_do_not() -> None:
    wide = domain(range(1, 20), [adjacency(f"A-{n}", n, n + 1, []) for n in range(1, 19)])
    topology = Network.of(wide).topology
    for count, passes in ((16, True), (17, False)):
        asked = replace(asking(SOFT, include_nodes=nodes(*(f"r{n}" for n in range(2, 2 + count)))))
        if passes:
            validate(asked, topology)
        else:
            with pytest.raises(Invalid, match="at most 16"):
                validate(asked, topology)


def test_a_stray_cable_cannot_be_named() -> None:
    stray = Link(link_name("X-1"), LinkKind.FIBRE, *nodes("o2", "o4"))
    topology = NET.apply(LinkUnplanned(stray))
    with pytest.raises(Invalid, match=r"path_constraints\.exclude_links\[0\]: no link"):
        validate(asking(HARD, exclude_links=links("X-1")), topology)


def test_a_lone_otn_node_has_no_router_to_lose() -> None:
    topology = square()
    lone = otn_node(9)
    links_now = [
        *topology.links.values(),
        fibre("F-19", 1, 9),
        fibre("F-93", 9, 3),
        adjacency("A-193", 1, 3, ["F-19", "F-93"]),
    ]
    planned = Topology.planned(topology.domain, topology.srv6_block, [*topology.nodes.values(), lone], links_now)
    asked = asking(SOFT, exclude_nodes=nodes("o9"))
    validate(asked, planned)
    told = searched(asked, planned)
    assert (told.exclude_nodes, told.exclude_links) == (set(), set(links("A-193")))


def layer(topology: Topology, isolation: Isolation) -> Graph:
    node_kind, kind = (NodeKind.ROUTER, LinkKind.ADJACENCY) if isolation is SOFT else (NodeKind.OTN, LinkKind.FIBRE)
    return build((n for n in topology.nodes.values() if n.kind is node_kind), topology.of_kind(kind))


def sites(name: str, topology: Topology) -> set[str]:
    """`r7` and `o7` are at one site."""
    short = name.rsplit("/", 1)[-1]
    return {name for name in nodes(f"r{short[1:]}", f"o{short[1:]}") if name in topology.nodes}


def touched(link: Link, topology: Topology) -> set[str]:
    """All that traffic on a link touches, in both layers; a router that an adjacency only passes below is not."""
    ends = {link.a_node, link.z_node}
    for each in (link, *(topology.links[name] for name in link.trail)):
        below = {name for end in (each.a_node, each.z_node) for name in sites(end, topology) if "/o" in name}
        ends |= {each.name, *below}
    return ends


@st.composite
def questions(draw: st.DrawFn) -> tuple[Topology, Corridor]:
    topology = Network.of(draw(domains())).topology
    isolation = draw(st.sampled_from(Isolation))
    kinds = (LinkKind.FIBRE, LinkKind.ADJACENCY) if isolation is SOFT else (LinkKind.FIBRE,)
    names = sorted(link.name for kind in kinds for link in topology.of_kind(kind))
    away_from_ends = sorted(set(topology.nodes) - sites("/r1", topology) - sites("/r2", topology))
    some = st.lists(st.sampled_from(away_from_ends), unique=True, max_size=2) if away_from_ends else st.just([])
    asked = PathConstraints(
        exclude_nodes=tuple(draw(some)),
        exclude_links=tuple(draw(st.lists(st.sampled_from(names), unique=True, max_size=3))),
    )
    return topology, corridor(a=1, z=2, isolation=isolation, path_constraints=asked)


@settings(max_examples=300, deadline=None)
@given(questions())
def test_a_search_may_use_just_what_touches_nothing_that_is_excluded(question: tuple[Topology, Corridor]) -> None:
    topology, wanted = question
    validate(wanted, topology)
    asked, graph = wanted.path_constraints, layer(topology, wanted.isolation)
    excluded = {*asked.exclude_nodes, *asked.exclude_links}
    if wanted.isolation is HARD:
        excluded |= {other for name in asked.exclude_nodes for other in sites(name, topology)}
    told = searched(wanted, topology)
    a, z = ("r1", "r2") if wanted.isolation is SOFT else ("o1", "o2")
    require_ends(graph, node_name(a), node_name(z), told)
    out = blocked(graph, replace(told, mtu_bytes=0))
    free = {
        graph.shape.links[graph.shape.link[arc]] for arc in range(len(graph.shape.head)) if not (len(out) and out[arc])
    }
    assert free == {name for name in graph.shape.links if touched(topology.links[name], topology).isdisjoint(excluded)}


def test_what_is_down_can_still_be_named() -> None:
    topology = Network.of(square(), up=False).topology
    assert all(link.status is Status.MISSING for link in topology.links.values())
    validate(asking(SOFT, exclude_links=links("F-12"), include_nodes=nodes("r4")), topology)


STALE = {
    "exclude_nodes": nodes("r8"),
    "exclude_links": links("F-88"),
    "exclude_srlgs": (88,),
    "exclude_any_affinities": ("blue",),
}


@pytest.mark.parametrize("field", STALE)
@pytest.mark.parametrize("isolation", Isolation)
def test_an_exclusion_outlives_what_it_excludes(isolation: Isolation, field: str) -> None:
    """What was taken out of service must not keep those from moving who avoided it."""
    asked = asking(isolation, **{field: STALE[field]})
    with pytest.raises(Invalid):
        validate(asked, NET)
    validate(asked, NET, agreed=asked.path_constraints)
    told = searched(asked)
    assert told.exclude_nodes | told.exclude_links == set()
    blocked(layer(NET, isolation), told)  # knows every name in it
    more = {"exclude_srlgs": (89,), "exclude_any_affinities": ("grey",)}.get(field, nodes("r7"))
    wider = replace(asked.path_constraints, **{field: STALE[field] + more})  # type: ignore[arg-type,operator]
    with pytest.raises(Invalid) as refusal:
        validate(replace(asked, path_constraints=wider), NET, agreed=asked.path_constraints)
    assert [v.field for v in refusal.value.violations] == [f"path_constraints.{field}[1]"]


@pytest.mark.parametrize("field", ["include_nodes", "include_links", "include_any_affinities"])
def test_an_inclusion_does_not(field: str) -> None:
    asked = asking(SOFT, **{field: ("domains/lab/nodes/r8",)})
    with pytest.raises(Invalid, match=field):
        validate(asked, NET, agreed=asked.path_constraints)


def test_a_change_of_a_corridor_heeds_what_was_agreed() -> None:
    net = Network.of(square())
    record = net.stand(asking(SOFT, exclude_links=links("F-34", "A-14")))
    left = {name: link for name, link in net.topology.links.items() if name not in links("A-34", "A-14", "F-34")}
    net.topology, net.kept = replace(net.topology, links=left), None
    moved = net.ask(replace(record.corridor, priority=5))
    assert moved.corridor.legs[0].links == links("A-12", "A-32")


NAMES = [*NET.nodes, *NET.links, "domains/lab/nodes/r9", "r2", ""]
ANY_NAMES = st.lists(st.sampled_from(NAMES), max_size=3).map(tuple)
ANY_COLOURS = st.lists(st.sampled_from(["gold", "green", "blue", ""]), max_size=2).map(tuple)
ANYTHING = st.builds(
    PathConstraints,
    objective=st.sampled_from(Objective),
    max_hops=st.integers(-1, 4),
    max_jitter_us=st.integers(-1, 2),
    include_nodes=ANY_NAMES,
    include_links=ANY_NAMES,
    exclude_nodes=ANY_NAMES,
    exclude_links=ANY_NAMES,
    exclude_srlgs=st.lists(st.sampled_from([0, 7, 9]), max_size=2).map(tuple),
    include_any_affinities=ANY_COLOURS,
    include_all_affinities=ANY_COLOURS,
    exclude_any_affinities=ANY_COLOURS,
)
SENSIBLE = st.builds(
    PathConstraints,
    objective=st.sampled_from(Objective),
    max_hops=st.integers(0, 4),
    include_nodes=st.lists(st.sampled_from(nodes("r1", "r2", "r4")), max_size=2).map(tuple),
    include_links=st.lists(st.sampled_from(links("A-12", "A-34", "F-12", "F-41")), max_size=1).map(tuple),
    exclude_nodes=st.lists(st.sampled_from(nodes("r2", "o2", "r4", "o4")), max_size=1).map(tuple),
    exclude_links=st.lists(st.sampled_from(links("F-12", "F-13", "A-13")), max_size=2).map(tuple),
    exclude_srlgs=st.lists(st.sampled_from([7, 9]), max_size=1).map(tuple),
    exclude_any_affinities=st.lists(st.sampled_from(["gold", "green"]), max_size=1).map(tuple),
)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(Isolation), st.one_of(ANYTHING, SENSIBLE))
def test_what_admission_lets_in_a_search_can_answer(isolation: Isolation, asked: PathConstraints) -> None:
    wanted = corridor(isolation=isolation, path_constraints=asked)
    try:
        validate(wanted, NET)
    except Invalid:
        return
    a, z = nodes("r1", "r3") if isolation is SOFT else nodes("o1", "o3")
    told = search_constraints(wanted, NET, demand=0, reverse_demand=0, mtu_bytes=0, max_delay_us=0)
    route = find(layer(NET, isolation), a, z, told, asked.objective)
    if route is not None:
        passed = {*route.path.nodes, *route.path.links}
        assert passed.isdisjoint({*asked.exclude_nodes, *asked.exclude_links})
        assert passed.issuperset(asked.include_links)
        for name in asked.include_nodes:
            assert not passed.isdisjoint(sites(name, NET))
