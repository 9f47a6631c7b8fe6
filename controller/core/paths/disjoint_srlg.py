"""Pairs without a common risk group, exact, by branching on conflicts.

Suurballe's method knows no groups, and taking a shortest path and then another that avoids its groups runs into traps.
The problem is NP-hard (Hu 2003); what follows is a best-first search in the spirit of conflicting risk groups (Rostami
et al. 2007), made exact. Let P be the cheapest first path that keeps off some risks, and T a set of P's own risks such
that every second path off T is too dear (or there is none). Then the first path of any better pair lacks a risk of
T: a branch for each. T is made as small as it gets, so that there are few.

What a pair costs at least is known in two ways. Its cheaper path is the first: twice that. And by Lagrange relaxation
of "no link twice": with the prices of the best link-disjoint pair on the links, both paths by themselves, less all
prices. At the start that is what the best link-disjoint pair costs.
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import heappop, heappush

import numpy as np

from controller.core.graph import HOP_BITS, Flags, Ints, Longs
from controller.core.model import Method
from controller.core.paths.admissible import EVERY_ARC, blocked, usable
from controller.core.paths.disjoint_flow import prices, settled, weight_of
from controller.core.paths.disjoint_milp import programmed
from controller.core.paths.pair import Pair, Question, cost_bound, pair_of
from controller.core.paths.tree import UNREACHED, grow

WORK = 1 << 26
"""Arcs looked at before the search is given up: a few seconds."""
GROUP, LINK, NODE = 0, 1, 2
Risk = tuple[int, int]
"""Something that fails as one: a risk group by its number, a link in no group, a node in between; by index."""
Risks = frozenset[Risk]


def without_common_risk(question: Question, one: Ints, other: Ints) -> Pair | None:
    """The pair of least sum that shares no risk; None where there is none. Bounds on sums are not heeded.

    `one` and `other`: a pair of least sum that may share groups. Where the search is given up the program goes on from
    the best pair so far; `Infeasible` (SEARCH_EXHAUSTED) where that finds nothing either.
    """
    search = _Search(question, int(weight_of(question)[np.concatenate((one, other))].sum()))
    done = search.run()
    best = search.best
    if not done:
        return programmed(question, best, may=search.of_use(), bound=cost_bound(question, search.bound >> HOP_BITS))
    return pair_of(question, *best, Method.CONFLICTS) if best else None


class _Search:
    """One search; lives as long as its question."""

    def __init__(self, question: Question, bound: int) -> None:
        graph = question.graph
        self.question, self.shape, self.bound = question, graph.shape, bound
        self.weight: Longs = weight_of(question)
        self.may: Flags = usable(graph, question.constraints, blocked(graph, question.constraints)).astype(np.uint8)
        self.left = WORK // max(1, len(self.may))
        self.arcs_of: dict[Risk, Ints] = {}
        self.groups_of: dict[int, list[int]] = {}
        for group, members in sorted(self.shape.srlgs.items()):
            for link in members.tolist():
                self.groups_of.setdefault(link, []).append(group)
        price = prices(question, self.weight, self.may)
        self.priced: Longs = self.weight + price[self.shape.link]
        self.charge = int(price.sum())
        """What two paths that share no link pay in prices at most."""
        self.alone = self.far((), self.priced)[0]
        """With prices, what a path costs at least."""
        self.least = UNREACHED
        """Weight of the best pair so far."""
        self.best: tuple[Ints, Ints] | None = None

    def run(self) -> bool:
        """True where `best` is the best there is (None: there is none)."""
        start: Risks = frozenset()
        queue, seen = [(self.bound, 0, start)], {start}
        while queue:
            bound, _, kept_off = heappop(queue)
            if bound >= self.least:
                return True
            if self.left < 0:
                self.bound = max(bound, self.bound)
                return False
            for least, branch in self.branches(kept_off):
                if branch not in seen and max(least, bound) < self.least:
                    seen.add(branch)
                    heappush(queue, (max(least, bound), len(seen), branch))
        return True

    def at_least(self, kept_off: Risks) -> int:
        """What a pair costs at least whose first and cheaper path keeps off these risks."""
        twice = 2 * self.far(kept_off, self.weight)[0]
        return (
            twice if twice >= self.least else max(twice, self.far(kept_off, self.priced)[0] + self.alone - self.charge)
        )

    def of_use(self) -> Flags:
        """Per arc, 1 where a path of a better pair than the best so far may run: not too dear by itself, priced."""
        shape, room = self.shape, self.may.astype(np.int64)
        arrays = shape.first, shape.head, shape.twin, self.priced, room, EVERY_ARC
        here, _ = grow(*arrays, self.question.source, 1, 0, False)
        there, _ = grow(*arrays, self.question.target, 1, 0, True)
        limit = self.least + self.charge - self.alone
        near = (here[shape.tail] < limit) & (there[shape.head] < limit)
        close = np.where(near, here[shape.tail], 0) + np.where(near, there[shape.head], 0) + self.priced < limit
        may: Flags = (near & close & (self.may != 0)).astype(np.uint8)
        return may

    def branches(self, kept_off: Risks) -> list[tuple[int, Risks]]:
        """What to keep off: the first path of any better pair does one of it; and what such a pair costs at least.

        Notes the pair found on the way. Branches that promise most are spared first.
        """
        weight, arcs = self.cheapest(kept_off)
        priced = self.far(kept_off, self.priced)[0]
        risks = self.risks(arcs)
        to, way = self.cheapest(risks)
        if weight + to < self.least:
            self.least, self.best = weight + to, (arcs, way)
        left = sorted((self.at_least(kept_off | {risk}), risk) for risk in risks)
        needed = set(risks)
        for least, risk in left:
            if least < self.least and self.too_dear(weight, priced, needed - {risk}):
                needed.remove(risk)
        return [(least, kept_off | {risk}) for least, risk in left if risk in needed]

    def too_dear(self, weight: int, priced: int, risks: set[Risk]) -> bool:
        """True where no second path off these makes a better pair with a first one of this weight (or `priced`)."""
        if weight + max(weight, self.far(risks, self.weight)[0]) >= self.least:
            return True
        return priced + self.far(risks, self.priced)[0] - self.charge >= self.least

    def far(self, kept_off: Collection[Risk], weight: Longs) -> tuple[int, Ints]:
        """Weight of the best path off these risks, `UNREACHED` where there is none; the arcs that lead to each node."""
        self.left -= 1
        may, shape = self.may.copy(), self.shape
        for risk in kept_off:
            may[self.arcs(risk)] = 0
        to, via = settled(shape.first, shape.head, weight, may, self.question.source, self.question.target)
        return int(to[self.question.target]), via

    def cheapest(self, kept_off: Collection[Risk]) -> tuple[int, Ints]:
        """(weight, arcs) of the best path off these risks; `UNREACHED` where there is none."""
        to, via = self.far(kept_off, self.weight)
        arcs: list[int] = []
        at = self.question.target
        while via[at] >= 0:
            arcs.append(int(via[at]))
            at = int(self.shape.tail[arcs[-1]])
        return to, np.array(arcs[::-1], np.int32)

    def risks(self, arcs: Ints) -> Risks:
        """What takes a path down. A link in a group is none by itself: who keeps off the group keeps off the link."""
        found = {risk for link in self.shape.link[arcs].tolist() for risk in self.risks_of_link(link)}
        if self.question.diversity.of_nodes:
            found.update((NODE, node) for node in self.shape.head[arcs[:-1]].tolist())
        return frozenset(found)

    def risks_of_link(self, link: int) -> list[Risk]:
        return [(GROUP, group) for group in self.groups_of.get(link, ())] or [(LINK, link)]

    def arcs(self, risk: Risk) -> Ints:
        """The arcs that a risk takes down."""
        if risk not in self.arcs_of:
            self.arcs_of[risk] = self._arcs(*risk)
        return self.arcs_of[risk]

    def _arcs(self, kind: int, index: int) -> Ints:
        shape = self.shape
        if kind == NODE:
            out = np.arange(shape.first[index], shape.first[index + 1], dtype=np.int32)
            return np.concatenate((out, shape.twin[out]))
        links = shape.srlgs[index] if kind == GROUP else np.array([index], np.int32)
        arcs: Ints = shape.arc[links].ravel()
        return arcs
