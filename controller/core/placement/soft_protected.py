"""Protect a soft corridor: a second path through the packet layer that no single failure takes with the first.

What can fail at once is more than what the packet layer shows: two adjacencies over one fibre, or through one OTN node.
Of a pair that stands what is whole stays, so that its traffic does not move: both, or the path that works with a new
one beside it, or the path that stood in for it, which then works, with a new one beside that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from controller.core.errors import Infeasible
from controller.core.graph import Graph
from controller.core.model import Link
from controller.core.paths import Constraints, Diversity, Pair, Path, Route, disjoint_pair, find
from controller.core.placement.soft_routes import SoftRoutes

RoutePair = tuple[Route, Route | None]
"""The path that works, and the one that stands in for it."""


def protected(routes: SoftRoutes) -> RoutePair:
    """Raises `Infeasible` where there is no pair. One path alone is then better than no service only where the promise
    was broken already, by a failure: until there is another."""
    pair = _kept(routes) or _beside(routes, routes.standing) or _beside(routes, routes.standing_backup) or _new(routes)
    if pair is None and routes.draft.unprotected_by_failure:
        return routes.single(), None
    if pair is None:
        raise _no_pair(routes)
    return pair


def _kept(routes: SoftRoutes) -> RoutePair | None:
    first, second = routes.standing, routes.standing_backup
    if first is None or second is None or not set(_risks(routes, first.path)).isdisjoint(_risks(routes, second.path)):
        return None
    return first, second


def _beside(routes: SoftRoutes, first: Route | None) -> RoutePair | None:
    """A path that stands, with the best new one that shares no risk with it."""
    if first is None:
        return None
    taken, asked = set(_risks(routes, first.path)), routes.constraints
    sharing = frozenset(
        name
        for name in routes.graph.shape.links
        if not taken.isdisjoint(_risks_of(routes, routes.draft.topology.links[name]))
    )
    between = frozenset(first.path.nodes[1:-1])
    if sharing & asked.include_links or between & asked.include_nodes:
        return None
    apart = replace(asked, exclude_links=asked.exclude_links | sharing, exclude_nodes=asked.exclude_nodes | between)
    second = find(routes.graph, *routes.ends, apart, routes.objective)
    return (first, second) if second else None


def _new(routes: SoftRoutes) -> RoutePair | None:
    """A new pair of least sum; the better path works."""
    pair = _pair(routes, routes.constraints)
    return (pair.first, pair.second) if pair else None


def _pair(routes: SoftRoutes, constraints: Constraints, *, maximal: bool = False) -> Pair | None:
    graph, _ = _with_risks(routes)
    return disjoint_pair(graph, *routes.ends, Diversity.SRLG_NODE, constraints, routes.objective, maximal=maximal)


# -- what fails at once ------------------------------------------------------------------------------------------------


def _risks(routes: SoftRoutes, path: Path) -> Iterator[str]:
    """All that a path may fail with, but its ends, which every path has."""
    yield from path.nodes[1:-1]
    for name in path.links:
        yield from _risks_of(routes, routes.draft.topology.links[name])


def _risks_of(routes: SoftRoutes, adjacency: Link) -> Iterator[str]:
    yield adjacency.name
    yield from (f"risk group {group}" for group in adjacency.srlgs)
    yield from _below(routes, adjacency)


def _below(routes: SoftRoutes, adjacency: Link) -> frozenset[str]:
    """The fibres of its trail and the OTN nodes that they join, but for those that the ends hang on."""
    trail = adjacency.trail
    return routes.draft.topology.ends(trail).union(trail) - routes.spared


def _with_risks(routes: SoftRoutes) -> tuple[Graph, list[str]]:
    """The packet layer with a group more for each fibre and OTN node that several ride on: number -1 is the first."""
    shape, members = routes.graph.shape, dict[str, set[int]]()
    for index, name in enumerate(shape.links):
        for risk in _below(routes, routes.draft.topology.links[name]):
            members.setdefault(risk, set()).add(index)
    shared = sorted(risk for risk, links in members.items() if len(links) > 1)
    groups = {-number: np.array(sorted(members[risk]), np.int32) for number, risk in enumerate(shared, 1)}
    return replace(routes.graph, shape=replace(shape, srlgs={**shape.srlgs, **groups})), shared


# -- why there is none -------------------------------------------------------------------------------------------------


def _no_pair(routes: SoftRoutes) -> Infeasible:
    """What keeps a second path from being apart from the first. Raises what a single path lacks, where that is it."""
    routes.single()
    if not routes.draft.explains:
        return Infeasible("no disjoint pair under these constraints", reason="NO_DISJOINT_PAIR")
    a, z = routes.ends
    asked, text = routes.constraints, f"no two paths from {a} to {z} without a common risk"
    empty = replace(asked, demand=0, reverse_demand=0)
    if (pair := _pair(routes, empty)) is not None:
        return _too_full(routes, pair, text)
    if (pair := _pair(routes, replace(asked, max_delay_us=0))) is not None:
        return _too_late(routes, pair, text)
    if (pair := _pair(routes, replace(empty, max_delay_us=0))) is not None:  # neither room nor time
        return _too_full(routes, pair, text)
    return _shares(routes, text)


def _too_full(routes: SoftRoutes, pair: Pair, text: str) -> Infeasible:
    """Which adjacencies of the pair that there would be lack how much."""
    asked, graph = routes.constraints, routes.graph
    needs = ((asked.demand, 0), (asked.reverse_demand, 1))
    short = {}
    for path in (pair.first.path, pair.second.path):
        for name, way in zip(path.links, path.directions, strict=True):
            lacking = [
                (int(graph.room[graph.arc(name, way ^ turned)]), need)
                for need, turned in needs
                if graph.room[graph.arc(name, way ^ turned)] < need
            ]
            if lacking:
                short[name] = lacking[0]
    figures = ", ".join(f"{name} has {room} of {need} kbit/s" for name, (room, need) in short.items())
    need = str(max(asked.demand, asked.reverse_demand))
    metadata = {"links": ",".join(short), "need": need, "unit": "kbit/s", "binding": "NO_CAPACITY"}
    return Infeasible(f"{text} with this bandwidth: {figures}", reason="NO_CAPACITY", metadata=metadata)


def _too_late(routes: SoftRoutes, pair: Pair, text: str) -> Infeasible:
    late = max(route.path.delay_us for route in (pair.first, pair.second)) + routes.fixed_us
    bound = routes.corridor.max_latency_us
    return Infeasible(
        f"{text} within {bound} µs: the slower of the best two takes {late} µs one way",
        reason="LATENCY_BOUND",
        metadata={"latencyUs": str(late), "boundUs": str(bound)},
    )


def _shares(routes: SoftRoutes, text: str) -> Infeasible:
    a, z = routes.ends
    _, names = _with_risks(routes)
    least = _pair(routes, routes.constraints, maximal=True)
    metadata = {"source": a, "target": z}
    if least is not None and least.shared:
        below = (names[-group - 1] for group in least.shared_srlgs if group < 0)
        common = (*least.shared_nodes, *least.shared_links, *dict.fromkeys(below))
        text += f": the two that share least share {' and '.join(common)}"
        metadata |= {"shared": ",".join(common), "links": ",".join(least.shared_links)}
    return Infeasible(text, reason="NO_DISJOINT_PAIR", metadata=metadata)
