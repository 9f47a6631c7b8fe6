"""Two paths that one failure shall not take together: what is asked, what is answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.core.graph import Graph, Ints, Objective
from controller.core.model import Method
from controller.core.paths.path import Constraints, Path, Route, path_of
from controller.core.paths.sums import cost_of


class Diversity(StrEnum):
    """What two paths may not share. The two ends are shared by nature; their links and groups are not."""

    LINK = "LINK"
    """No link: not in opposite directions either, for a cut takes both."""
    NODE = "NODE"
    """No node in between, hence no link either."""
    SRLG = "SRLG"
    """No link and no risk group of links (RFC 4202 2.3)."""
    SRLG_NODE = "SRLG_NODE"
    """No node in between, no link, no risk group."""

    @property
    def of_nodes(self) -> bool:
        return self in (Diversity.NODE, Diversity.SRLG_NODE)

    @property
    def of_groups(self) -> bool:
        return self in (Diversity.SRLG, Diversity.SRLG_NODE)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two paths between the same ends; `first` is the cheaper one (ties: fewer hops, then arc order)."""

    first: Route
    second: Route
    cost: int
    """Sum of both."""
    method: Method
    shared_nodes: tuple[str, ...] = ()
    """Of what the diversity asked for rules out, what both use all the same. In the order of `first`."""
    shared_links: tuple[str, ...] = ()
    shared_srlgs: tuple[int, ...] = ()
    gap: float = 0.0
    """(cost - proven lower bound) / cost: 0 is optimal."""

    @property
    def shared(self) -> int:
        """How many nodes, links and risk groups are shared: 0 where the pair is disjoint."""
        return len(self.shared_nodes) + len(self.shared_links) + len(self.shared_srlgs)


@dataclass(frozen=True, slots=True)
class Question:
    """What every way of searching a pair is asked: indices for names, one int64 metric per arc."""

    graph: Graph
    source: int
    target: int
    diversity: Diversity
    constraints: Constraints
    objective: Objective


def pair_of(question: Question, one: Ints, other: Ints, method: Method, bound: int | None = None) -> Pair:
    """The pair that follows these arcs; `bound`: what no pair can cost less than (default: what this one costs)."""
    arcs = sorted((one, other), key=lambda each: (_cost(question, each), len(each), each.tolist()))
    costs = [_cost(question, each) for each in arcs]
    total = sum(costs)
    gap = 0.0 if bound is None or bound >= total else (total - bound) / total
    paths = [path_of(question.graph, question.source, each) for each in arcs]
    first, second = (Route(path, cost, method, gap) for path, cost in zip(paths, costs, strict=True))
    return Pair(first, second, total, method, *_shared(question, *paths), gap)


def cost_bound(question: Question, metric: int) -> int:
    """What a pair costs at least whose arcs sum to this metric: DELAY does not count the target's own node."""
    if question.objective is not Objective.DELAY:
        return max(0, metric)
    return max(0, metric - 2 * int(question.graph.shape.processing[question.target]))


def _cost(question: Question, arcs: Ints) -> int:
    return cost_of(question.graph, arcs, question.objective, question.constraints.demand)


def _shared(question: Question, one: Path, other: Path) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]:
    """Nodes, links and risk groups of both paths, as far as the diversity forbids them."""
    graph, diversity = question.graph, question.diversity
    links = tuple(link for link in one.links if link in set(other.links))
    between = set(other.nodes[1:-1]) if diversity.of_nodes else set()
    nodes = tuple(node for node in one.nodes[1:-1] if node in between)
    if not diversity.of_groups:
        return nodes, links, ()
    used = [{graph.link(link) for link in path.links} for path in (one, other)]
    groups = sorted(
        group
        for group, members in graph.shape.srlgs.items()
        if all(not each.isdisjoint(members.tolist()) for each in used)
    )
    return nodes, links, tuple(groups)
