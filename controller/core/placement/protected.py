"""Protect a hard corridor: a second slice of the same size on a route that no single failure takes with the first.

The slice that protects belongs to the one that it protects: a new working slice gets a new one beside it, so that no
two protection groups ever share a slice.
"""

from __future__ import annotations

from dataclasses import replace

from controller.core.graph import Objective
from controller.core.paths import Constraints, Diversity, Pair, Path, Route, disjoint_pair, find
from controller.core.placement.refusals import no_pair
from controller.core.placement.routes import HardRoutes, Lane, Lanes
from controller.core.placement.sizing import Size

DIVERSITIES = (Diversity.SRLG_NODE, Diversity.SRLG)
"""In this order: no common risk is the promise, no common node as well where there is such a pair."""


def protected(routes: HardRoutes) -> Lanes:
    """Working and protection. Keeps both where they serve, else the working slice, else looks for a new pair.

    Raises `Infeasible` where there is no pair. None is then better than no service only where the promise was broken
    already, by a failure: a single slice, until there is another way.
    """
    lanes = _kept(routes) or _beside(routes) or _new(routes)
    if lanes is None and routes.draft.unprotected_by_failure:
        lanes = routes.single()
    if lanes is None:
        raise no_pair(routes, _pair, _fastest_pair)
    return lanes


def _kept(routes: HardRoutes) -> Lanes | None:
    """Both slices that stand."""
    working, protection = routes.working, routes.protection
    if working is None or protection is None:
        return None
    size = routes.kept_size(working, protection)
    if size is None or not _apart(routes, routes.path_of(working), routes.path_of(protection)):
        return None
    lanes = [routes.kept(part, size) for part in (working, protection)]
    return (size, tuple(filter(None, lanes))) if all(lanes) else None


def _beside(routes: HardRoutes) -> Lanes | None:
    """The working slice that stands, with a new one that protects it."""
    if routes.working is None:
        return None
    path = routes.path_of(routes.working)
    size = routes.kept_size(routes.working)
    while size is not None and (working := routes.kept(routes.working, size)) is not None:
        other = _second(routes, size, path)
        if other is not None:
            return size, (working, routes.lane(other, size))
        size = routes.thicker(size, lambda thin: _delay_us(_fastest_beside(routes, thin, path)))
    return None


def _second(routes: HardRoutes, size: Size, first: Path) -> Route | None:
    """The best route without a common risk; without a common node as well where there is one."""
    apart = _apart_from(routes, first, routes.constraints(size))
    if apart is None:
        return None
    between = frozenset(first.nodes[1:-1])
    if between and not between & apart.include_nodes:
        nodes = replace(apart, exclude_nodes=apart.exclude_nodes | between)
        route = find(routes.graph(size), *routes.ends, nodes, routes.objective)
        if route is not None:
            return route
    return find(routes.graph(size), *routes.ends, apart, routes.objective)


def _fastest_beside(routes: HardRoutes, size: Size, first: Path) -> Route | None:
    apart = _apart_from(routes, first, replace(routes.constraints(size), max_delay_us=0))
    return find(routes.graph(size), *routes.ends, apart, Objective.DELAY) if apart else None


def _apart_from(routes: HardRoutes, first: Path, constraints: Constraints) -> Constraints | None:
    """None where both routes would have to use one link."""
    links = frozenset(first.links)
    if links & constraints.include_links:
        return None
    groups = frozenset(group for name in links for group in routes.draft.topology.links[name].srlgs)
    return replace(
        constraints,
        exclude_links=constraints.exclude_links | links,
        exclude_srlgs=constraints.exclude_srlgs | groups,
    )


def _delay_us(route: Route | None) -> int | None:
    return route.path.delay_us if route else None


def _apart(routes: HardRoutes, one: Path, other: Path) -> bool:
    links = routes.draft.topology.links
    risks = [{risk for name in path.links for risk in (name, *links[name].srlgs)} for path in (one, other)]
    return risks[0].isdisjoint(risks[1])


def _new(routes: HardRoutes) -> Lanes | None:
    """A new pair of least sum; the better route works."""
    found = routes.best(
        lambda size: _pair(routes, size, routes.constraints(size)),
        lambda pair: pair.cost,
        lambda size: _fastest_pair(routes, size),
    )
    if found is None:
        return None
    size, pair = found
    lanes: tuple[Lane, ...] = tuple(routes.lane(route, size) for route in (pair.first, pair.second))
    return size, lanes


def _fastest_pair(routes: HardRoutes, size: Size) -> int | None:
    """µs between the ends by the slower route of the pair whose slower route is the fastest: found by bisection."""

    def slower(bound_us: int) -> int:
        asked = replace(routes.constraints(size), max_delay_us=bound_us)
        pair = disjoint_pair(routes.graph(size), *routes.ends, Diversity.SRLG, asked, Objective.DELAY)
        return max(route.path.delay_us for route in (pair.first, pair.second)) if pair else 0

    least, most = routes.fastest(size), slower(max(1, routes.most_us))  # beyond that no size helps
    if least is None or not most:
        return None
    while least < most:
        middle = max(1, (least + most) // 2)
        found = slower(middle)
        least, most = (least, found) if found else (middle + 1, most)
    return most


def _pair(routes: HardRoutes, size: Size, constraints: Constraints) -> Pair | None:
    graph, objective = routes.graph(size), routes.objective
    pairs = (disjoint_pair(graph, *routes.ends, each, constraints, objective) for each in DIVERSITIES)
    return next((pair for pair in pairs if pair is not None), None)
