"""Which arcs a search may use, beside their room, and at what weight."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from controller.core.errors import Invalid
from controller.core.graph import CLOSED, Flags, Graph, Longs, Objective
from controller.core.paths.path import Constraints, Path, arcs_of

Mask = NDArray[np.bool_]

EVERY_ARC: Flags = np.zeros(0, np.uint8)
"""No arc is blocked. (Kernels know it by its length.)"""


def blocked(graph: Graph, constraints: Constraints) -> Flags:
    """Per arc, 1 where a constraint other than room rules it out; `EVERY_ARC` where none does."""
    shape = graph.shape
    if not constraints.excludes and constraints.mtu_bytes <= shape.least_mtu:
        return EVERY_ARC
    links = np.zeros(len(shape.links), bool)
    links[[graph.link(name) for name in constraints.exclude_links]] = True
    for group in constraints.exclude_srlgs:
        links[shape.srlgs.get(group, [])] = True
    links |= shape.mtu < constraints.mtu_bytes
    links |= _wrong_colour(graph, constraints)
    out = links[shape.link]
    for name in constraints.exclude_nodes:
        node = graph.node(name)
        out |= (shape.head == node) | (shape.tail == node)
    return out.astype(np.uint8)


def _wrong_colour(graph: Graph, constraints: Constraints) -> Mask:
    colour = graph.shape.colour
    wrong: Mask = (colour & _bits(graph, constraints.exclude_any)) != 0
    if constraints.include_any:
        wrong |= (colour & _bits(graph, constraints.include_any)) == 0
    unknown = constraints.include_all - graph.shape.colours.keys()
    every = _bits(graph, constraints.include_all)
    wrong |= ((colour & every) != every) | bool(unknown)
    return wrong


def _bits(graph: Graph, names: Iterable[str]) -> np.uint64:
    """A colour that no link has excludes nothing, and includes nothing."""
    known = graph.shape.colours
    return np.uint64(sum(1 << known[name] for name in names if name in known))


LEAST_SHARE = 1000
"""A full link counts as if a thousandth of it were left: dear, but a sum of many stays a number."""


def metric_of(graph: Graph, objective: Objective, demand: int) -> Longs:
    """Per arc, the metric of an objective for one more `demand`."""
    if objective is not Objective.LOAD:
        return graph.metrics[objective].values
    capacity = graph.shape.capacity
    left = np.maximum(np.maximum(graph.room - demand, capacity // LEAST_SHARE), 1)
    cost: Longs = 1000 * capacity // left
    return cost


def usable(graph: Graph, constraints: Constraints, out: Flags) -> Mask:
    """Per arc, whether a path under `constraints` may use it: what kernels decide arc by arc, all at once."""
    room = graph.room
    fits: Mask = (
        (room >= constraints.demand) & (room[graph.shape.twin] >= constraints.reverse_demand) & (room != CLOSED)
    )
    return fits & (out == 0) if len(out) else fits


def holds(graph: Graph, path: Path, constraints: Constraints) -> bool:
    """True where every link of a path may be used: the sums over it are not looked at (`keeps` does)."""
    if not path.links:
        return True
    arcs = arcs_of(graph.shape, path)
    return bool(usable(graph, constraints, blocked(graph, constraints))[arcs].all())


def require_ends(graph: Graph, source: str, target: str, constraints: Constraints) -> tuple[int, int]:
    """Indices of both ends; `Invalid` where one is unknown, or excluded by its own request."""
    for end in (source, target):
        if end in constraints.exclude_nodes:
            raise Invalid(f"{end} is an end of the path and excluded from it", reason="CONTRADICTION")
    contradictory = (constraints.include_nodes & constraints.exclude_nodes) or (
        constraints.include_links & constraints.exclude_links
    )
    if contradictory:
        raise Invalid(f"{min(contradictory)} is both included and excluded", reason="CONTRADICTION")
    return graph.node(source), graph.node(target)


def require_places(graph: Graph, constraints: Constraints) -> None:
    """`Invalid` where a place to pass is unknown."""
    for node in constraints.include_nodes:
        graph.node(node)
    for link in constraints.include_links:
        graph.link(link)
