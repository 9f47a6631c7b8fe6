"""Why there is no path: which constraint binds, on which links, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from controller.core.errors import Infeasible
from controller.core.graph import CLOSED, Graph, Objective
from controller.core.paths.find import find
from controller.core.paths.path import NONE, Constraints, Path, Route
from controller.core.paths.sums import jitter_of

_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("LATENCY_BOUND", ("max_delay_us",)),
    ("HOP_BOUND", ("max_hops",)),
    ("JITTER_BOUND", ("max_jitter_us",)),
    ("MTU", ("mtu_bytes",)),
    (
        "EXCLUDED",
        ("exclude_nodes", "exclude_links", "exclude_srlgs", "include_any", "include_all", "exclude_any"),
    ),
    ("NOT_INCLUDED", ("include_nodes", "include_links")),
    ("NO_CAPACITY", ("demand", "reverse_demand")),
)
"""Constraints that are given up together, by the reason of a refusal. Room is last: it alone may be back soon."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How to say it to who asked: the search knows neither units nor what is spent outside of it."""

    unit: str
    """What room is counted in."""
    fixed_us: int = 0
    """Of the one-way latency, what no choice of path changes …"""
    bound_us: int = 0
    """… and the bound on the whole."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A family of constraints without which there is a path, and what that path lacks."""

    reason: str
    text: str
    metadata: dict[str, str] = field(default_factory=dict)


def explain(
    graph: Graph,
    source: str,
    target: str,
    constraints: Constraints,
    terms: Terms,
    objective: Objective = Objective.DELAY,
) -> Infeasible:
    """The refusal for a search that found nothing.

    It names the families that cannot be kept even alone; else each whose loss alone would do; else some that would do
    together and none of them to spare (fewer, but others, may do as well).

    Metadata has `links`, have and need of what binds: never a guess.
    """
    if find(graph, source, target) is None:
        return _cut_off(graph, source, target)
    asked = [family for family in _FAMILIES if _without(constraints, family[1]) != constraints]
    hopeless = [family for family in asked if find(graph, source, target, _only(constraints, family[1])) is None]
    found = [_lack(graph, source, target, NONE, constraints, family, terms) for family in hopeless] or [
        _lack(graph, source, target, rest, constraints, family, terms)
        for family in asked
        if find(graph, source, target, rest := _without(constraints, family[1])) is not None
    ]
    if not found:
        return _together(graph, source, target, constraints, objective)
    text = ("; and " if hopeless else "; or ").join(binding.text for binding in found)
    metadata = {key: value for binding in reversed(found) for key, value in binding.metadata.items()}
    metadata["binding"] = ",".join(binding.reason for binding in found)
    return Infeasible(f"no path from {source} to {target}: {text}", reason=found[0].reason, metadata=metadata)


def require(
    graph: Graph,
    source: str,
    target: str,
    constraints: Constraints,
    terms: Terms,
    objective: Objective = Objective.DELAY,
    *,
    explained: bool = True,
) -> Route:
    """What `find` finds, or its refusal; to explain it costs a dozen searches more."""
    route = find(graph, source, target, constraints, objective)
    if route is None and explained:
        raise explain(graph, source, target, constraints, terms, objective)
    if route is None:
        raise Infeasible(f"no path from {source} to {target} under these constraints")
    return route


def _without(constraints: Constraints, names: tuple[str, ...]) -> Constraints:
    return replace(constraints, **{name: getattr(NONE, name) for name in names})


def _only(constraints: Constraints, names: tuple[str, ...]) -> Constraints:
    return replace(NONE, **{name: getattr(constraints, name) for name in names})


def _lack(
    graph: Graph,
    source: str,
    target: str,
    kept: Constraints,
    asked: Constraints,
    family: tuple[str, tuple[str, ...]],
    terms: Terms,
) -> Binding:
    """What a family asks beyond the fastest path under the constraints that are kept."""
    route = find(graph, source, target, kept)  # by delay: "by how much" is then the least it can be
    assert route is not None, "looked for before"
    return Binding(family[0], *_LACKS[family[0]](graph, route.path, asked, terms))


def _cut_off(graph: Graph, source: str, target: str) -> Infeasible:
    """Nothing open leads there: name the closed links of the shortest way, were all open."""
    every = find(graph.opened(dict.fromkeys(graph.shape.links, True)), source, target)
    closed = [name for name in every.path.links if not graph.is_open(name)] if every else []
    text = f"no usable path from {source} to {target}"
    text += f"; on the shortest {', '.join(closed)} cannot be used now" if closed else ": nothing joins them"
    metadata = {"source": source, "target": target, "links": ",".join(closed)}
    return Infeasible(text, reason="NO_PATH", metadata=metadata)


def _together(graph: Graph, source: str, target: str, constraints: Constraints, objective: Objective) -> Infeasible:
    """No single family is to blame: give them up in order until there is a path, and take back what was not needed."""
    given: list[tuple[str, tuple[str, ...]]] = []
    for family in _FAMILIES:
        given.append(family)
        if find(graph, source, target, _all_without(constraints, given), objective) is not None:
            break
    for family in tuple(given):
        fewer = [each for each in given if each is not family]
        if find(graph, source, target, _all_without(constraints, fewer), objective) is not None:
            given = fewer
    reasons = [reason for reason, _ in given]
    text = f"no path from {source} to {target}: {' and '.join(map(_PLAIN.__getitem__, reasons))} cannot all be kept"
    return Infeasible(text, reason=reasons[0], metadata={"binding": "+".join(reasons)})


def _all_without(constraints: Constraints, families: list[tuple[str, tuple[str, ...]]]) -> Constraints:
    return _without(constraints, tuple(name for _, names in families for name in names))


_PLAIN = {
    "NO_CAPACITY": "the bandwidth",
    "LATENCY_BOUND": "the latency bound",
    "HOP_BOUND": "the hop bound",
    "JITTER_BOUND": "the jitter bound",
    "MTU": "the packet size",
    "EXCLUDED": "the exclusions",
    "NOT_INCLUDED": "the places to pass",
}


def _no_room(graph: Graph, path: Path, constraints: Constraints, terms: Terms) -> tuple[str, dict[str, str]]:
    short = list(_short(graph, path, constraints))
    text = ", ".join(f"{link} has {have} of {need} {terms.unit}" for link, have, need in short)
    least = min((have - need, link, have, need) for link, have, need in short)
    metadata = {
        "links": ",".join(dict.fromkeys(link for link, _, _ in short)),
        "bindingLink": least[1],
        "have": str(least[2]),
        "need": str(least[3]),
        "unit": terms.unit,
    }
    return f"{text} on the fastest path otherwise", metadata


def _short(graph: Graph, path: Path, constraints: Constraints) -> Iterator[tuple[str, int, int]]:
    """(link, room, need) where a path lacks room, there or back."""
    for link, way in zip(path.links, path.directions, strict=True):
        for direction, need in ((way, constraints.demand), (1 - way, constraints.reverse_demand)):
            have = int(graph.room[graph.arc(link, direction)])
            if have < need and have != CLOSED:
                yield link, have, need


def _too_late(_graph: Graph, path: Path, constraints: Constraints, terms: Terms) -> tuple[str, dict[str, str]]:
    latency, bound = path.delay_us + terms.fixed_us, terms.bound_us or constraints.max_delay_us
    text = f"the fastest path takes {latency} µs one way ({path.delay_us} between its ends), the bound is {bound} µs"
    return text, {"latencyUs": str(latency), "boundUs": str(bound), "links": ",".join(path.links)}


def _too_many_hops(_graph: Graph, path: Path, constraints: Constraints, _terms: Terms) -> tuple[str, dict[str, str]]:
    hops = len(path.links)
    return f"the fastest path has {hops} hops, {constraints.max_hops} are allowed", {"pathHops": str(hops)}


def _too_much_jitter(graph: Graph, path: Path, constraints: Constraints, _terms: Terms) -> tuple[str, dict[str, str]]:
    jitter = jitter_of(graph, path)
    text = f"the fastest path varies by {jitter} µs, {constraints.max_jitter_us} are allowed"
    return text, {"pathJitterUs": str(jitter)}


def _too_small(graph: Graph, path: Path, constraints: Constraints, _terms: Terms) -> tuple[str, dict[str, str]]:
    short = [name for name in path.links if graph.shape.mtu[graph.link(name)] < constraints.mtu_bytes]
    text = f"{', '.join(short)} carry less than the {constraints.mtu_bytes} bytes needed"
    return text, {"links": ",".join(short), "neededBytes": str(constraints.mtu_bytes)}


def _excluded(_graph: Graph, path: Path, _constraints: Constraints, _terms: Terms) -> tuple[str, dict[str, str]]:
    return f"the exclusions leave none, without them {' '.join(path.links)} would serve", {}


def _not_included(_graph: Graph, path: Path, _constraints: Constraints, _terms: Terms) -> tuple[str, dict[str, str]]:
    return f"none passes all that it shall, otherwise {' '.join(path.links)} would serve", {}


_LACKS: dict[str, Callable[[Graph, Path, Constraints, Terms], tuple[str, dict[str, str]]]] = {
    "NO_CAPACITY": _no_room,
    "LATENCY_BOUND": _too_late,
    "HOP_BOUND": _too_many_hops,
    "JITTER_BOUND": _too_much_jitter,
    "MTU": _too_small,
    "EXCLUDED": _excluded,
    "NOT_INCLUDED": _not_included,
}
