"""Why there is no path: every claim of a refusal, recounted on every simple path of small layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, combinations
from typing import Any

import pytest
from every_path import Walked, every_path
from hypothesis import event, given, settings
from hypothesis import strategies as st
from random_graphs import COLOURS, Layer, layers

from controller.core.errors import Infeasible
from controller.core.graph import Graph, Objective, build
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.core.paths.path import NONE, Constraints
from controller.core.paths.refusal import Terms, explain, require

FIELDS = {
    "LATENCY_BOUND": ("max_delay_us",),
    "HOP_BOUND": ("max_hops",),
    "JITTER_BOUND": ("max_jitter_us",),
    "MTU": ("mtu_bytes",),
    "EXCLUDED": ("exclude_nodes", "exclude_links", "exclude_srlgs", "include_any", "include_all", "exclude_any"),
    "NOT_INCLUDED": ("include_nodes", "include_links"),
    "NO_CAPACITY": ("demand", "reverse_demand"),
}
TERMS = Terms("kbit/s")
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Case:
    """A layer, what was asked of it from its first to its last node, and what each simple path breaks of that."""

    layer: Layer
    asked: Constraints

    @property
    def ends(self) -> tuple[str, str]:
        return self.layer.nodes[0].name, self.layer.nodes[-1].name

    @cached_property
    def breaks(self) -> list[tuple[Walked, frozenset[str]]]:
        """Every open path with the families that it does not keep."""
        parts = {
            family: replace(NONE, **{name: getattr(self.asked, name) for name in names})
            for family, names in FIELDS.items()
        }
        return [
            (path, frozenset(family for family, part in parts.items() if not path.keeps(part)))
            for path in every_path(self.layer, *self.ends)
            if path.keeps(NONE)
        ]

    def without(self, dropped: set[str]) -> list[Walked]:
        return [path for path, broken in self.breaks if broken <= dropped]

    def hopeless(self) -> set[str]:
        return {family for family in FIELDS if all(family in broken for _, broken in self.breaks)}

    def fastest(self, family: str) -> list[Walked]:
        """What a family is measured by: the fastest (then shortest) paths without it, or of all if it is hopeless."""
        return first(self.without(set(FIELDS) if family in self.hopeless() else {family}))

    def lacks(self, path: Walked) -> list[tuple[str, int, int]]:
        """(link, room, need) where a path lacks room."""
        return [
            (link.name, self.layer.free[link.name, direction], need)
            for link, way in path.hops
            for direction, need in ((way, self.asked.demand), (1 - way, self.asked.reverse_demand))
            if self.layer.free[link.name, direction] < need
        ]


def first(paths: list[Walked]) -> list[Walked]:
    least = min((path.delay, len(path.hops)) for path in paths)
    return [path for path in paths if (path.delay, len(path.hops)) == least]


def names(path: Walked) -> list[str]:
    return [link.name for link, _ in path.hops]


def jitter(path: Walked) -> int:
    return sum(link.jitter_us for link, _ in path.hops)


@st.composite
def cases(draw: st.DrawFn) -> list[Case]:
    """Some requests on one layer, most of which is joined so that there are several ways."""
    layer = draw(layers(min_nodes=2, max_nodes=6, max_links=12))
    layer = joined(layer) if draw(st.integers(0, 4)) else layer
    paths = list(every_path(layer, layer.nodes[0].name, layer.nodes[-1].name))
    hopeful = [path for path in paths if path.keeps(NONE)]
    return [Case(layer, draw(requests(layer, hopeful))) for _ in range(4 if hopeful else 1)]


@st.composite
def requests(draw: st.DrawFn, layer: Layer, paths: list[Walked]) -> Constraints:
    """Each family is wild, or just kept by some path: so that families bind alone, together, or not at all."""
    drawn: dict[str, Any] = {}
    near = draw(st.integers(0, 4))
    for fields in FIELDS.values():
        if near > 1 or draw(st.booleans()):
            keep = paths and (near or draw(st.booleans()))
            source = just_kept(layer, draw(st.sampled_from(paths))) if keep else wild(layer)
            drawn |= {name: draw(source[name]) for name in fields}
    for what in ("nodes", "links"):
        drawn[f"exclude_{what}"] = drawn.get(f"exclude_{what}", NOTHING) - drawn.get(f"include_{what}", NOTHING)
    return Constraints(**drawn)


def joined(layer: Layer) -> Layer:
    """With the first links laid from end to end: directly, then by way of each node in between."""
    start, *between, end = (node.name for node in layer.nodes)
    ways = [(start, end), *chain.from_iterable(((start, node), (node, end)) for node in between)]
    laid = tuple(replace(link, a_node=a, z_node=z) for link, (a, z) in zip(layer.links, ways, strict=False))
    return replace(layer, links=laid + layer.links[len(laid) :])


def wild(layer: Layer) -> dict[str, st.SearchStrategy]:
    between, links = [node.name for node in layer.nodes[1:-1]], [link.name for link in layer.links]
    return {
        "max_delay_us": st.integers(1, 30),
        "max_hops": st.integers(1, 4),
        "max_jitter_us": st.integers(1, 20),
        "mtu_bytes": st.sampled_from((1501, 9000, 9001)),
        "exclude_nodes": some_of(between),
        "exclude_links": some_of(links),
        "exclude_srlgs": some_of((1, 2, 3, 4)),
        "include_any": some_of((*COLOURS, "unheard-of")),
        "include_all": some_of(COLOURS, 1),
        "exclude_any": some_of(COLOURS, 1),
        "include_nodes": some_of(between),
        "include_links": some_of(links),
        "demand": st.integers(0, 11),
        "reverse_demand": st.integers(0, 8),
    }


def just_kept(layer: Layer, path: Walked) -> dict[str, st.SearchStrategy]:
    """What a path keeps to with little or nothing to spare."""
    free, on, links = layer.free, names(path), [link for link, _ in path.hops]
    elsewhere = [node.name for node in layer.nodes if node.name not in path.nodes]
    common = set(COLOURS).intersection(*(link.affinities for link in links))
    absent = set(COLOURS).difference(*(link.affinities for link in links))
    return {
        "max_delay_us": st.just(path.delay),
        "max_hops": st.just(len(on)),
        "max_jitter_us": st.just(jitter(path)),
        "mtu_bytes": st.just(min(link.mtu_bytes for link in links)),
        "exclude_nodes": some_of(elsewhere),
        "exclude_links": some_of([link.name for link in layer.links if link.name not in on], 6),
        "exclude_srlgs": some_of({1, 2, 3, 4}.difference(*(link.srlgs for link in links))),
        "include_any": some_of(common, 1),
        "include_all": some_of(common, 1),
        "exclude_any": some_of(absent, 1),
        "include_nodes": some_of(path.nodes[1:-1]),
        "include_links": some_of(on),
        "demand": st.just(min(free[link.name, way] for link, way in path.hops)),
        "reverse_demand": st.just(min(free[link.name, 1 - way] for link, way in path.hops)),
    }


def some_of(values: object, most: int = 2) -> st.SearchStrategy:
    among = sorted(values)  # type: ignore[call-overload]
    return st.frozensets(st.sampled_from(among), max_size=most) if among else st.just(frozenset())


@settings(max_examples=450, deadline=None)
@given(cases(), st.integers(0, 50), st.sampled_from(Objective))
def test_every_claim_of_a_refusal_is_true(drawn: list[Case], fixed_us: int, objective: Objective) -> None:
    for case in drawn:
        check(case, fixed_us, objective)


def check(case: Case, fixed_us: int, objective: Objective) -> None:
    kept, graph = case.without(set()), case.layer.graph()
    terms = Terms("slots", fixed_us, fixed_us + case.asked.max_delay_us)
    if kept:
        event("path")
        path = require(graph, *case.ends, case.asked, TERMS).path
        assert (path.nodes, list(path.links)) in [(each.nodes, names(each)) for each in first(kept)]
        return
    with pytest.raises(Infeasible) as raised:
        require(graph, *case.ends, case.asked, terms, objective)
    refusal = raised.value
    again = explain(graph, *case.ends, case.asked, terms, objective)
    assert (again.message, again.metadata) == (refusal.message, refusal.metadata)
    if not case.breaks:
        event("NO_PATH")
        check_cut_off(case, refusal)
    elif "+" in refusal.metadata["binding"]:
        event("+")
        check_together(case, refusal)
    else:
        event("hopeless" if case.hopeless() else "either")
        check_binding(case, refusal, terms)


def check_cut_off(case: Case, refusal: Infeasible) -> None:
    assert refusal.reason == "NO_PATH"
    assert "binding" not in refusal.metadata
    ways = list(every_path(case.layer, *case.ends))
    closed = [[name for name in names(path) if name in case.layer.closed] for path in (first(ways) if ways else ())]
    assert refusal.metadata["links"].split(",") in (closed or [[""]])
    assert bool(refusal.metadata["links"]) == bool(ways)


def check_together(case: Case, refusal: Infeasible) -> None:
    named = refusal.metadata["binding"].split("+")
    assert refusal.reason == named[0]
    assert len(named) == len(set(named)) >= 2
    assert not case.hopeless()
    assert not any(case.without({family}) for family in FIELDS), "one would do"
    assert case.without(set(named)), "not enough"
    assert not any(case.without(set(part)) for part in subsets(named)), "fewer would do"


def subsets(named: list[str]) -> Iterator[tuple[str, ...]]:
    """Proper ones."""
    return chain.from_iterable(combinations(named, count) for count in range(len(named)))


def check_binding(case: Case, refusal: Infeasible, terms: Terms) -> None:
    named = refusal.metadata["binding"].split(",")
    assert set(named) == (case.hopeless() or {family for family in FIELDS if case.without({family})})
    assert len(named) == len(set(named))
    assert refusal.reason == named[0]
    for family in named:
        CLAIMS[family](case, refusal, terms)
    owner = next((family for family in named if family in LINKS), None)
    assert (owner is not None) == ("links" in refusal.metadata)
    if owner:
        candidates = [LINKS[owner](case, path) for path in case.fastest(owner)]
        assert refusal.metadata["links"].split(",") in candidates, "links are those of the first that names any"


LINKS: dict[str, Callable[[Case, Walked], list[str]]] = {
    "LATENCY_BOUND": lambda _, path: names(path) or [""],
    "MTU": lambda case, path: [link.name for link, _ in path.hops if link.mtu_bytes < case.asked.mtu_bytes],
    "NO_CAPACITY": lambda case, path: list(dict.fromkeys(link for link, _, _ in case.lacks(path))),
}


def claim_latency(case: Case, refusal: Infeasible, terms: Terms) -> None:
    least = case.fastest("LATENCY_BOUND")[0].delay
    assert refusal.metadata["latencyUs"] == str(least + terms.fixed_us)
    assert refusal.metadata["boundUs"] == str(terms.bound_us)
    assert least + terms.fixed_us > terms.bound_us
    assert f"takes {least + terms.fixed_us} µs one way ({least} between its ends)" in refusal.message


def claim_hops(case: Case, refusal: Infeasible, _: Terms) -> None:
    hops = len(case.fastest("HOP_BOUND")[0].hops)
    assert refusal.metadata["pathHops"] == str(hops)
    assert hops > case.asked.max_hops
    assert f"has {hops} hops, {case.asked.max_hops} are allowed" in refusal.message


def claim_jitter(case: Case, refusal: Infeasible, _: Terms) -> None:
    told = int(refusal.metadata["pathJitterUs"])
    assert told in {jitter(path) for path in case.fastest("JITTER_BOUND")}
    assert told > case.asked.max_jitter_us
    assert f"varies by {told} µs, {case.asked.max_jitter_us} are allowed" in refusal.message


def claim_size(case: Case, refusal: Infeasible, _: Terms) -> None:
    assert refusal.metadata["neededBytes"] == str(case.asked.mtu_bytes)
    told = re.search(r"([l\d, ]+) carry less than", refusal.message)
    assert told
    short = told[1].strip().split(", ")
    assert short in [LINKS["MTU"](case, path) for path in case.fastest("MTU")]
    assert short


def claim_room(case: Case, refusal: Infeasible, terms: Terms) -> None:
    figures, told = refusal.metadata, re.findall(r"(l\d+) has (\d+) of (\d+) slots", refusal.message)
    lacks = [(link, int(have), int(need)) for link, have, need in told]
    assert lacks
    assert lacks in [case.lacks(path) for path in case.fastest("NO_CAPACITY")]
    worst = max(need - have for _, have, need in lacks)
    binding = (figures["bindingLink"], int(figures["have"]), int(figures["need"]))
    assert binding in lacks
    assert binding[2] - binding[1] == worst > 0
    assert figures["unit"] == terms.unit
    assert not case.layer.closed & {link for link, _, _ in lacks}


def claim_would_serve(family: str, before: str) -> Callable[[Case, Infeasible, Terms], None]:
    def claim(case: Case, refusal: Infeasible, _: Terms) -> None:
        told = re.search(rf"{before} ([l\d ]+) would serve", refusal.message)
        assert told
        assert told[1].split() in [names(path) for path in case.fastest(family)]

    return claim


CLAIMS: dict[str, Callable[[Case, Infeasible, Terms], None]] = {
    "LATENCY_BOUND": claim_latency,
    "HOP_BOUND": claim_hops,
    "JITTER_BOUND": claim_jitter,
    "MTU": claim_size,
    "EXCLUDED": claim_would_serve("EXCLUDED", "without them"),
    "NOT_INCLUDED": claim_would_serve("NOT_INCLUDED", "otherwise"),
    "NO_CAPACITY": claim_room,
}


def link(name: str, a: str, z: str, delay: int, **figures: int) -> Link:
    return Link(name, LinkKind.ADJACENCY, a, z, **{"delay_us": delay, "capacity_kbps": 10, **figures})


def network() -> Graph:
    """From a to z: `direct` (7 µs) of one hop, or `l1 l2` (4 µs) by way of m; `spur` leads from m to p only."""
    links = (
        link("direct", "a", "z", 7, jitter_us=1, mtu_bytes=1500),
        link("l1", "a", "m", 2, jitter_us=4, mtu_bytes=9000),
        link("l2", "m", "z", 2, jitter_us=5, mtu_bytes=9000),
        link("spur", "m", "p", 1, mtu_bytes=9000),
    )
    return build([Node(name, NodeKind.ROUTER) for name in "ampz"], links)


def refused(graph: Graph, terms: Terms = TERMS, target: str = "z", **asked: object) -> tuple[str, dict[str, str]]:
    with pytest.raises(Infeasible) as raised:
        require(graph, "a", target, Constraints(**asked), terms)  # type: ignore[arg-type]
    return raised.value.reason, raised.value.metadata


def test_a_latency_that_cannot_be_met_is_told_with_what_no_path_changes() -> None:
    figures = {"latencyUs": "24", "boundUs": "23", "links": "l1,l2", "binding": "LATENCY_BOUND"}
    assert refused(network(), Terms("kbit/s", 20, 23), max_delay_us=3) == ("LATENCY_BOUND", figures)


def test_too_many_hops() -> None:
    figures = {"pathHops": "2", "binding": "HOP_BOUND"}
    assert refused(network(), target="p", max_hops=1) == ("HOP_BOUND", figures)


def test_too_much_jitter() -> None:
    graph = network().opened({"direct": False})
    assert refused(graph, max_jitter_us=8) == ("JITTER_BOUND", {"pathJitterUs": "9", "binding": "JITTER_BOUND"})


def test_packets_too_large() -> None:
    graph = network().opened({"l1": False})
    assert refused(graph, mtu_bytes=1501) == ("MTU", {"links": "direct", "neededBytes": "1501", "binding": "MTU"})


def test_nothing_is_left_by_the_exclusions() -> None:
    asked = {"exclude_links": frozenset({"direct"}), "exclude_nodes": frozenset({"m"})}
    assert refused(network(), **asked) == ("EXCLUDED", {"binding": "EXCLUDED"})


def test_a_place_that_no_path_passes() -> None:
    assert refused(network(), include_nodes=frozenset("p")) == ("NOT_INCLUDED", {"binding": "NOT_INCLUDED"})


def test_room_is_missing_there_or_back_and_the_worst_is_named() -> None:
    graph = network().opened({"direct": False}).with_free({("l1", 0): 4, ("l2", 1): 1})
    figures = {"links": "l1,l2", "bindingLink": "l2", "have": "1", "need": "5", "unit": "kbit/s"}
    told = refused(graph, demand=5, reverse_demand=5)
    assert told == ("NO_CAPACITY", {**figures, "binding": "NO_CAPACITY"})


def test_either_of_two_that_no_path_keeps_at_once() -> None:
    reason, figures = refused(network(), max_delay_us=6, max_hops=1)
    assert (reason, figures["binding"]) == ("LATENCY_BOUND", "LATENCY_BOUND,HOP_BOUND")
    assert (figures["latencyUs"], figures["pathHops"]) == ("7", "2")


def test_both_of_two_that_cannot_be_kept_even_alone_and_no_other() -> None:
    reason, figures = refused(network(), mtu_bytes=9001, demand=11, max_hops=1)
    assert (reason, figures["binding"]) == ("MTU", "MTU,NO_CAPACITY")
    assert (figures["links"], figures["have"], figures["need"]) == ("l1,l2", "10", "11")


def test_two_that_have_to_go_together() -> None:
    """`direct` is slow and small, `l1 l2` has more hops and varies more."""
    reason, figures = refused(network(), max_delay_us=6, mtu_bytes=9000, max_hops=1, max_jitter_us=8)
    assert (reason, figures) == ("HOP_BOUND", {"binding": "HOP_BOUND+JITTER_BOUND"})


def test_where_nothing_open_leads_there_the_closed_links_of_the_shortest_way_are_named() -> None:
    graph = network().opened({"direct": False, "l2": False})
    assert refused(graph, demand=99) == ("NO_PATH", {"source": "a", "target": "z", "links": "l2"})
    alone = build([Node(name, NodeKind.ROUTER) for name in "az"], ())
    assert refused(alone) == ("NO_PATH", {"source": "a", "target": "z", "links": ""})
