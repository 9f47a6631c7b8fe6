"""Why a hard corridor finds no place: which fibres lack what, and what two routes cannot help sharing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from controller.core.errors import Infeasible
from controller.core.model import SliceHop
from controller.core.otn import RowKey, bitmap_of, parse_slots
from controller.core.paths import Constraints, Diversity, Pair, Terms, disjoint_pair, explain, find
from controller.core.placement.routes import HardRoutes
from controller.core.placement.sizing import Size, size_of


def no_route(routes: HardRoutes) -> Infeasible:
    """Why not one route serves: explained at the largest size that was tried, where anybody reads it.

    Raises `Infeasible` (CONTAINER_TOO_SMALL) where no line between the ends can carry the size.
    """
    if not routes.draft.explains:
        return Infeasible("no path under these constraints")
    joined = (line for line in routes.lines if find(routes.draft.tributaries(line), *routes.ends) is not None)
    line = next(joined, None)
    if line is None:
        return explain(routes.draft.layers.optical, *routes.ends, Constraints(), Terms(""))
    size = size_of(routes.corridor, line)
    while more := routes.thicker(size, routes.fastest):
        size = more
    return _both_stand(routes, size) or explain(
        routes.graph(size), *routes.ends, routes.constraints(size), routes.terms(size), routes.objective
    )


def _both_stand(routes: HardRoutes, size: Size) -> Infeasible | None:
    """The refusal of a move that only lacks room for old and new slots at once; None where that is not why."""
    graph, part = routes.graph(size), routes.working
    if part is None or part.container is not size.container:
        return None
    left = {hop.link: _left_to(routes, hop) for hop in part.hops}
    own = {(name, way): room for name, room in left.items() for way in (0, 1)}
    route = find(graph.with_free(own), *routes.ends, routes.constraints(size), routes.objective)
    if route is None:
        return None
    text = (
        f"{{}} beside the {part.claimed_slots} that it holds there: "
        "old and new slice must both stand until the traffic has moved"
    )
    return _no_room(routes, size, [name for name in route.path.links if name in left], text)


def _no_room(routes: HardRoutes, size: Size, links: Iterable[str], text: str) -> Infeasible | None:
    """Which of these fibres lack how much, in the place of the braces; None where none does."""
    graph = routes.graph(size)
    have = {name: int(graph.room[graph.arc(name, 0)]) for name in links}
    short = {name: room for name, room in have.items() if room < size.claimed}
    lacking = ", ".join(f"{name} has {room} of {size.claimed} {size.unit}" for name, room in short.items())
    metadata = {"links": ",".join(short), "need": str(size.claimed), "unit": size.unit, "binding": "NO_CAPACITY"}
    return Infeasible(text.format(lacking), reason="NO_CAPACITY", metadata=metadata) if short else None


def _left_to(routes: HardRoutes, hop: SliceHop) -> int:
    """Slots of a hop's server that are free both ways once the slice has left."""
    rows = [routes.draft.ledger.row(RowKey(hop.link, hop.server, way)) for way in (0, 1)]
    taken = (rows[0].bitmap | rows[1].bitmap) & ~bitmap_of(parse_slots(hop.slots))
    return min(row.capacity for row in rows) - taken.bit_count()


PairSearch = Callable[[HardRoutes, Size, Constraints], Pair | None]
Slowest = Callable[[HardRoutes, Size], int | None]


def no_pair(routes: HardRoutes, search: PairSearch, slowest: Slowest) -> Infeasible:
    """Not even one route, or what keeps a second one from being apart from the first.

    `slowest`: µs between the ends by the slower route of the fastest pair with room for a size.
    """
    single = routes.best(routes.route, lambda route: route.cost)
    if single is None:
        return no_route(routes)
    if not routes.draft.explains:
        return Infeasible("no disjoint pair under these constraints", reason="NO_DISJOINT_PAIR")
    size = _paired(routes, search) or single[0]
    while more := routes.thicker(size, partial(slowest, routes)):
        size = more
    asked = routes.constraints(size)
    a, z = routes.ends
    text = f"no two routes from {a} to {z} without a common risk"
    empty = replace(asked, demand=0)
    if (refusal := _pair_too_full(routes, size, search(routes, size, empty), text)) is not None:
        return refusal
    if (pair := search(routes, size, replace(asked, max_delay_us=0))) is not None:
        return _pair_too_late(routes, size, pair, text)
    pair = search(routes, size, replace(empty, max_delay_us=0))  # neither room nor time
    if (refusal := _pair_too_full(routes, size, pair, text)) is not None:
        return refusal
    return _pair_shares(routes, size, text)


def _paired(routes: HardRoutes, search: PairSearch) -> Size | None:
    """The size on the widest kind of lines on which there are two routes, whatever their room and delay."""
    for line in routes.lines:
        try:
            size = size_of(routes.corridor, line)
        except Infeasible:
            continue
        if search(routes, size, replace(routes.constraints(size), demand=0, max_delay_us=0)) is not None:
            return size
    return None


def _pair_too_full(routes: HardRoutes, size: Size, pair: Pair | None, text: str) -> Infeasible | None:
    if pair is None:
        return None
    both = (*pair.first.path.links, *pair.second.path.links)
    return _no_room(routes, size, both, f"{text} with this bandwidth: {{}}")


def _pair_shares(routes: HardRoutes, size: Size, text: str) -> Infeasible:
    a, z = routes.ends
    asked = routes.constraints(size)
    shared = disjoint_pair(routes.graph(size), a, z, Diversity.SRLG, asked, routes.objective, maximal=True)
    metadata = {"source": a, "target": z}
    if shared is not None and shared.shared:
        links, groups = ",".join(shared.shared_links), ",".join(map(str, shared.shared_srlgs))
        common = " and ".join(filter(None, (links, groups and f"risk groups {groups}")))
        text += f": the two that share least share {common}"
        metadata |= {"links": links, "srlgs": groups}
    return Infeasible(text, reason="NO_DISJOINT_PAIR", metadata=metadata)


def _pair_too_late(routes: HardRoutes, size: Size, pair: Pair, text: str) -> Infeasible:
    terms = routes.terms(size)
    late = max(route.path.delay_us for route in (pair.first, pair.second)) + terms.fixed_us
    return Infeasible(
        f"{text} within {terms.bound_us} µs: the slower of the best two takes {late} µs one way",
        reason="LATENCY_BOUND",
        metadata={"latencyUs": str(late), "boundUs": str(terms.bound_us)},
    )
