"""Pairs without a common risk group, exact, by branching on conflicts.

Suurballe's method knows no groups, and taking a shortest path and then another that avoids its groups runs into traps.
The problem is NP-hard (Hu 2003); what follows is a best-first search in the spirit of conflicting risk groups (Rostami
et al. 2007), made exact. Let P be the cheapest first path that keeps off some risks, and T a set of P's own risks such
that every second path off T is too dear (or there is none). Then the first path of any better pair lacks a risk of T: a
branch for each. T is made as small as it gets, so that there are few.
"""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np

from controller.core.graph import Flags, Ints, Longs
from controller.core.paths.admissible import blocked, usable
from controller.core.paths.disjoint_flow import FAR, settled, weight_of
from controller.core.paths.disjoint_milp import programmed
from controller.core.paths.pair import Pair, Question, pair_of
from controller.core.paths.path import Method

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
        return programmed(question, best)
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
        self.least = FAR
        """Weight of the best pair so far."""
        self.best: tuple[Ints, Ints] | None = None

    def run(self) -> bool:
        """True where `best` is the best there is (None: there is none)."""
        start: Risks = frozenset()
        weight, arcs = self.cheapest(start)
        queue, seen = [(weight, 0, start, arcs)], {start}
        while queue:
            weight, _, kept_off, arcs = heappop(queue)
            if max(2 * weight, self.bound) >= self.least:
                return True
            for risk in self.conflict(weight, arcs):
                branch = kept_off | {risk}
                if branch in seen:
                    continue
                seen.add(branch)
                to, way = self.cheapest(branch)
                if 2 * to < self.least:
                    heappush(queue, (to, len(seen), branch, way))
            if self.left < 0:
                return False
        return True

    def conflict(self, weight: int, arcs: Ints) -> list[Risk]:
        """Risks of a first path, one of which the first path of any better pair lacks; notes the pair that it makes."""
        risks = self.risks(arcs)
        to, way = self.cheapest(risks)
        if weight + to < self.least:
            self.least, self.best = weight + to, (arcs, way)
        needed = set(risks)
        for risk in sorted(risks):
            to, _ = self.cheapest(needed - {risk})
            if weight + max(weight, to) >= self.least:
                needed.remove(risk)
        return sorted(needed)

    def cheapest(self, kept_off: frozenset[Risk] | set[Risk]) -> tuple[int, Ints]:
        """(weight, arcs) of the best path off these risks; `FAR` where there is none."""
        self.left -= 1
        may, shape = self.may.copy(), self.shape
        for risk in kept_off:
            may[self.arcs(risk)] = 0
        source, target = self.question.source, self.question.target
        far, via = settled(shape.first, shape.head, self.weight, may, source, target)
        arcs: list[int] = []
        at = target
        while via[at] >= 0:
            arcs.append(int(via[at]))
            at = int(shape.tail[arcs[-1]])
        return int(far[target]), np.array(arcs[::-1], np.int32)

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
