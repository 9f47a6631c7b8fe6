"""The search alone, on drawn reaches: lists of many carriers against all lists, none of them left out."""

from __future__ import annotations

from random import Random

from forced_paths import BOTH, SEEDS
from hypothesis import given, settings
from router_simulation import ADJACENCY, BLOCK, TAIL

from controller.core.graph import Objective
from controller.core.paths.path import Path
from controller.core.segments.search import Course, cheapest
from controller.core.segments.sids import Sids, Tail
from controller.core.srv6 import segment_list


class Drawn(Course):
    """A path whose reaches are drawn: whatever they are, a later place reaches as far as an earlier one."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        self.end = random.randint(1, 60)
        self.algorithms = [*BOTH[: random.randint(1, 2)]]
        nodes, links = [f"n{i}" for i in range(self.end + 1)], [f"p{i}" for i in range(self.end)]
        self.path = Path(tuple(nodes), tuple(links), (0,) * self.end, 0)
        self.open = [True] * self.end
        self._reach = {}
        for by in self.algorithms:
            far, most = 0, random.randint(0, 3)
            for place in range(self.end + 1):
                far = min(self.end, max(far, place + random.randint(0, most)))
                self._reach[by, place] = far
        rare = random.random() / 2
        named = {by: {n: i + 1 for i, n in enumerate(nodes) if random.random() >= rare} for by in self.algorithms}
        pinned = {n: ADJACENCY for n in nodes if random.random() >= rare / 2}
        self.sids = Sids(BLOCK, named, lambda node, _link: pinned.get(node), lambda _node: 99)

    def moves(self, place: int) -> set[tuple[int, int]]:
        """(ids, place afterwards; `end` + 1 is complete) of every segment, not the farthest only."""
        found = set()
        for by in self.algorithms:
            for at in range(place, self.reach(by, place) + 1):
                if self.path.nodes[at] in self.sids.locators[by]:
                    found |= {(1, at)} if at > place else set()
                    if at == self.end or self.sids.adjacency(self.path.nodes[at], self.path.links[at]):
                        found.add((2, at + 1))
        return found


def least(course: Drawn) -> tuple[int, int] | None:
    """(carriers, ids) by filling in every (place, ids in the last carrier) with all of its least prices."""
    table: dict[tuple[int, int], set[tuple[int, int]]] = {(1, 0): {(1, 0)}}
    for place in range(1, course.end + 1):
        for used in range(7):
            for carriers, ids in table.get((place, used), ()):
                for size, where in course.moves(place):
                    fits = used + size <= 6
                    cell = where, used + size if fits else size
                    table.setdefault(cell, set()).add((carriers + (not fits), ids + size))
    return min((price for used in range(7) for price in table.get((course.end + 1, used), ())), default=None)


@settings(max_examples=600, deadline=None)
@given(SEEDS)
def test_of_all_lists_the_cheapest(seed: int) -> None:
    course = Drawn(seed)
    made = cheapest(course, 1, Tail(course.path.nodes[-1], TAIL, "uDT6"))
    assert (None if made is None else (made.carriers, made.ids)) == least(course)
    if made is not None:
        packed = segment_list(BLOCK, made.segments(), 99)
        assert len(packed.carriers) == made.carriers
        assert sum(len(each.ids) for each in made.segments()) == made.ids


def test_the_farthest_segment_each_time_is_not_the_best() -> None:
    """A uA comes farther than a uN and costs one id more; two uNs come as far as is needed."""
    course = Drawn(0)
    course.end, course.algorithms, course.open = 5, [Objective.IGP], [True] * 5
    course.path = Path(tuple(f"n{i}" for i in range(6)), tuple(f"p{i}" for i in range(5)), (0,) * 5, 0)
    course._reach = {(Objective.IGP, place): far for place, far in enumerate((0, 2, 5, 5, 5, 5))}
    named = {Objective.IGP: {node: i + 1 for i, node in enumerate(course.path.nodes)}}
    course.sids = Sids(BLOCK, named, lambda _node, _link: ADJACENCY, lambda _node: 99)
    made = cheapest(course, 1, Tail("n5", TAIL, "uDT6"))
    assert made is not None
    assert [each.text for each in made.segments()] == ["uN(n2)", "uDT6"]
