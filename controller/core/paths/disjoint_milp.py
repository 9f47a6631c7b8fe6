"""Disjoint pairs as an integer program, for what no combinatorial search answers: bounds on the sums of each path,
places that both pass, the fewest shared risk groups. Exact up to a few hundred nodes.

Columns: per path and arc, whether it is used; per path and risk group, whether it runs through it; per link, node and
group, whether it is shared. A path leaves each node at most once; cycles beside a path that pretend to pass where it
must are cut off as they turn up (Dantzig, Fulkerson and Johnson 1954).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from controller.core.errors import Infeasible
from controller.core.graph import Flags, Ints
from controller.core.model import Method
from controller.core.paths.admissible import blocked, metric_of, usable
from controller.core.paths.integer_program import End, IntegerProgram, Outcome
from controller.core.paths.pair import Pair, Question, cost_bound, pair_of
from controller.core.paths.path import path_of
from controller.core.paths.sums import keeps

ARCS = 4000
"""Arcs beyond which the program is not tried."""
BRANCHES = 2000
"""Nodes of the search tree before it is given up."""
CUTS = 200
"""Times that cycles are cut off before it is given up."""
EXACT = 1 << 44
"""Sums of costs above which a double in the solver's hands no longer tells one hop."""
PATHS = (0, 1)
Terms = dict[int, float]


def programmed(
    question: Question,
    best: tuple[Ints, Ints] | None = None,
    *,
    may: Flags | None = None,
    bound: int = 0,
    share: bool = False,
) -> Pair | None:
    """The disjoint pair of least sum within all bounds, None where there is none. `share`: the one that shares least.

    `best`: a pair that is known, `may`: where a better one may run, per arc, `bound`: what it costs at least.
    `Infeasible` (SEARCH_EXHAUSTED) where the search is given up and no pair is known.
    """
    model = _Model(question, share, may)
    if len(model.arcs) > ARCS:
        return _given_up(question, best, bound)
    if share:
        fewest, _ = model.solve(dict.fromkeys(model.shared, 1))
        if fewest.end is End.INFEASIBLE:
            return None
        if fewest.end is End.GIVEN_UP or fewest.values is None:
            return _given_up(question, None, 0)
        model.program.row(dict.fromkeys(model.shared, 1), upper=round(fewest.values[model.shared].sum()) + 0.5)
    if best:
        model.beat(best)
    outcome, found = model.solve(model.cost)
    if outcome.end is End.INFEASIBLE:
        return pair_of(question, *best, Method.MILP) if best else None
    if found is None:
        return _given_up(question, best, max(bound, model.metric(outcome.bound)))
    proven = None if outcome.end is End.OPTIMAL else max(bound, model.metric(outcome.bound))
    return pair_of(question, *found, Method.MILP, proven)


def _given_up(question: Question, best: tuple[Ints, Ints] | None, bound: int) -> Pair:
    if best is None:
        raise Infeasible(
            "the search for two paths was given up before one was found or ruled out", reason="SEARCH_EXHAUSTED"
        )
    return pair_of(question, *best, Method.CONFLICTS, bound)


class _Model:
    """The program of a question, in local numbers: position in `arcs` for an arc."""

    def __init__(self, question: Question, share: bool, may: Flags | None) -> None:
        self.question, self.shape, self.program = question, question.graph.shape, IntegerProgram()
        self.arcs = _of_use(question, may)
        self.at = {int(arc): i for i, arc in enumerate(self.arcs)}
        self.uses = [[self.program.column() for _ in self.arcs] for _ in PATHS]
        self.out: defaultdict[int, list[int]] = defaultdict(list)
        self.into: defaultdict[int, list[int]] = defaultdict(list)
        for i, arc in enumerate(self.arcs):
            self.out[int(self.shape.tail[arc])].append(i)
            self.into[int(self.shape.head[arc])].append(i)
        self.share = share
        self.shared: list[int] = []
        self.scale, self.hop, self.cost = self._cost()
        self._paths()
        self._diversity()
        self._bounds()
        self._places()

    def metric(self, bound: float) -> int:
        """A bound on what the program minimises as one on what a pair costs."""
        return cost_bound(self.question, int(bound / self.scale)) if np.isfinite(bound) else 0

    def beat(self, best: tuple[Ints, Ints]) -> None:
        """Only pairs that are better than this one."""
        question, arcs = self.question, np.concatenate(best)
        metric = metric_of(question.graph, question.objective, question.constraints.demand)[arcs]
        self.program.row(self.cost, upper=int(metric.sum()) * self.scale + self.hop * len(arcs) - 0.5)

    def _cost(self) -> tuple[int, int, Terms]:
        """Metric first, then hops, where the solver's doubles can hold both."""
        question, n = self.question, len(self.shape.nodes)
        metric = metric_of(question.graph, question.objective, question.constraints.demand)[self.arcs].tolist()
        scale = 2 * n
        hop = 1 if sum(metric) * scale < EXACT else 0
        scale = scale if hop else 1
        return scale, hop, {use[i]: each * scale + hop for use in self.uses for i, each in enumerate(metric)}

    def _paths(self) -> None:
        """Each path leaves its source, arrives at its target, and leaves a node in between as often as it comes."""
        source, target, row = self.question.source, self.question.target, self.program.row
        for use in self.uses:
            for node in {source, target, *self.out, *self.into}:
                goes = {use[i]: 1.0 for i in self.out[node]}
                comes = {use[i]: -1.0 for i in self.into[node]}
                net = (node == source) - (node == target)
                row({**goes, **comes}, net, net)
                if node != target:
                    row(goes, upper=1)

    def _diversity(self) -> None:
        """What both may not use; or, where they may share, what they are charged for."""
        for arcs in self._by_link().values():
            self._either({use[i]: 1.0 for use in self.uses for i in arcs})
        if self.question.diversity.of_nodes:
            for node in self.out.keys() - {self.question.source}:
                self._either({use[i]: 1.0 for use in self.uses for i in self.out[node]})
        if self.question.diversity.of_groups:
            for members in self.shape.srlgs.values():
                self._group(set(members.tolist()))

    def _by_link(self) -> dict[int, list[int]]:
        links: dict[int, list[int]] = {}
        for i, arc in enumerate(self.arcs):
            links.setdefault(int(self.shape.link[arc]), []).append(i)
        return links

    def _group(self, members: set[int]) -> None:
        """A path runs through a group where it leaves any node by one of its links."""
        by_node: defaultdict[int, list[int]] = defaultdict(list)
        for i, arc in enumerate(self.arcs):
            if int(self.shape.link[arc]) in members:
                by_node[int(self.shape.tail[arc])].append(i)
        if not by_node:
            return
        through = [self.program.column() for _ in PATHS]
        for use, column in zip(self.uses, through, strict=True):
            for leaving in by_node.values():
                self.program.row({**{use[i]: 1.0 for i in leaving}, column: -1.0}, upper=0)
        self._either(dict.fromkeys(through, 1.0))

    def _either(self, terms: Terms) -> None:
        """One path at most, unless they share: then at a price."""
        if self.share:
            column = self.program.column(integral=False)
            self.shared.append(column)
            terms = {**terms, column: -1.0}
        self.program.row(terms, upper=1)

    def _bounds(self) -> None:
        graph, limits = self.question.graph, self.question.constraints
        ones = np.ones(len(self.shape.head), np.int64)
        delay = limits.max_delay_us and limits.max_delay_us + int(self.shape.processing[self.question.target])
        for limit, figures in (
            (delay, graph.delay),
            (limits.max_hops, ones),
            (limits.max_jitter_us, self.shape.jitter),
        ):
            if limit:
                for use in self.uses:
                    terms = {use[i]: float(each) for i, each in enumerate(figures[self.arcs].tolist())}
                    self.program.row(terms, upper=limit + 0.5)

    def _places(self) -> None:
        graph, ends = self.question.graph, (self.question.source, self.question.target)
        nodes = {graph.node(name) for name in self.question.constraints.include_nodes}.difference(ends)
        links = {graph.link(name) for name in self.question.constraints.include_links}
        by_link = self._by_link()
        for arcs in [self.into[node] for node in sorted(nodes)] + [by_link.get(link, []) for link in sorted(links)]:
            for use in self.uses:
                self.program.row({use[i]: 1.0 for i in arcs}, lower=1)

    def solve(self, cost: Terms) -> tuple[Outcome, tuple[Ints, Ints] | None]:
        """The best solution in which each path itself keeps to the constraints, and its arcs."""
        for _ in range(CUTS):
            outcome = self.program.minimise(cost, BRANCHES)
            if outcome.values is None:
                return outcome, None
            used = [[i for i, column in enumerate(use) if outcome.values[column] > 0.5] for use in self.uses]
            paths = [self._walk(arcs) for arcs in used]
            if all(self._keeps(path) for path in paths):
                return outcome, (self.arcs[paths[0]], self.arcs[paths[1]])
            beside = [set(arcs).difference(path) for arcs, path in zip(used, paths, strict=True)]
            if not any(beside):
                break
            for arcs in beside:
                self._cut(arcs)
        return Outcome(End.GIVEN_UP, None, outcome.bound), None

    def _walk(self, used: Iterable[int]) -> list[int]:
        onward = {int(self.shape.tail[self.arcs[i]]): i for i in used}
        path, node = [], self.question.source
        while node != self.question.target:
            path.append(onward[node])
            node = int(self.shape.head[self.arcs[path[-1]]])
        return path

    def _keeps(self, path: list[int]) -> bool:
        question = self.question
        return keeps(question.graph, path_of(question.graph, question.source, self.arcs[path]), question.constraints)

    def _cut(self, beside: set[int]) -> None:
        """Forbid the cycles that are beside a path."""
        onward = {int(self.shape.tail[self.arcs[i]]): i for i in beside}
        while onward:
            node, cycle = min(onward), set()
            while node in onward:
                cycle.add(node)
                node = int(self.shape.head[self.arcs[onward.pop(node)]])
            within = [i for node in cycle for i in self.out[node] if int(self.shape.head[self.arcs[i]]) in cycle]
            for use in self.uses:
                self.program.row({use[i]: 1.0 for i in within}, upper=len(cycle) - 1)


def _of_use(question: Question, may: Flags | None) -> Ints:
    """Arcs that a path from source to target can use: none back into its source, none on from its target."""
    graph, shape = question.graph, question.graph.shape
    fits = usable(graph, question.constraints, blocked(graph, question.constraints)) if may is None else may != 0
    fits = fits & (shape.head != question.source) & (shape.tail != question.target)
    arcs: Ints = np.flatnonzero(fits).astype(np.int32)
    return arcs
