"""Restoration in bulk: new paths for all that a cut hits, in priority order, nothing counted twice.

What a corridor holds while it moves is the ledger's rule. `shared` (soft): per arc the larger of its old and new
claim, so its old claim is room for itself. Not shared (hard slices): old and new stand side by side, so it is not. When
the old claims are room for the *others* is `Release`. A corridor that finds no path keeps its claims: it stays where it
is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import itemgetter

import numpy as np

from controller.core.errors import Invalid
from controller.core.graph import CLOSED, HOP_BITS, Flags, Graph, Ints, Longs, Objective, Shape
from controller.core.paths.admissible import blocked, require_ends
from controller.core.paths.bulk_kernel import BOUND, FOUND, NO_PATH, NO_ROOM, reroute
from controller.core.paths.path import NONE, Constraints, Path
from controller.core.paths.tree import UNREACHED, grow

_BATCH = 1 << 20
"""Arcs that the answers to one call of the kernel may fill."""
_FAR = UNREACHED >> 1


class Release(StrEnum):
    """When the claims that a rerouted corridor leaves are room for others."""

    AFTER_ALL = "AFTER_ALL"
    """All moves are under way at once: what they leave is free when all are through."""
    AT_ONCE = "AT_ONCE"
    """One move after the other: the next may use what the one before left."""


class Outcome(StrEnum):
    REROUTED = "REROUTED"
    NO_PATH = "NO_PATH"
    """Not even with all the room in the world."""
    NO_ROOM = "NO_ROOM"
    """`bottlenecks` names what is too narrow on the shortest open path."""
    BOUND = "BOUND"
    """The path of least objective breaks a bound on a sum. DELAY and a bound on the delay alone: so does every path."""


_OUTCOMES = {FOUND: Outcome.REROUTED, NO_PATH: Outcome.NO_PATH, NO_ROOM: Outcome.NO_ROOM, BOUND: Outcome.BOUND}


@dataclass(frozen=True, slots=True)
class Standing:
    """A corridor on its path; `constraints.demand` and `.reverse_demand` are what it claims there and will claim."""

    name: str
    path: Path
    constraints: Constraints = NONE
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Rerouted:
    """What became of a corridor that was hit: a path, or why there is none."""

    name: str
    outcome: Outcome
    path: Path | None = None
    bottlenecks: tuple[str, ...] = ()
    """Links of the shortest open path that had not enough room at its turn."""


@dataclass(frozen=True, slots=True)
class Restored:
    """Answers in the order of turns, and the graph when all moves are through: the cut closed, the room booked."""

    answers: tuple[Rerouted, ...]
    graph: Graph


class Book:
    """Who stands on which link of a shape, kept in step by `place` and `remove`. Not for two writers at a time."""

    def __init__(self, shape: Shape, standing: Iterable[Standing] = ()) -> None:
        self.shape = shape
        self._standing: dict[str, Standing] = {}
        self._arcs: dict[str, Longs] = {}
        self._row: dict[str, list[int]] = {}
        self._over: list[set[str]] = [set() for _ in shape.links]
        self._masks: dict[bytes, int] = {bytes(len(shape.head)): 0}
        self._least: dict[int, Longs] = {}
        self._metric: Longs | None = None
        for each in standing:
            self.place(each)

    def __len__(self) -> int:
        return len(self._standing)

    def place(self, standing: Standing, graph: Graph | None = None) -> None:
        """Add a corridor. `Invalid` where its name is taken, its path is none of this shape, or it must pass places.

        `graph`: needed where its constraints rule links out.
        """
        name, limits = standing.name, standing.constraints
        if name in self._standing:
            raise Invalid(f"{name} stands already", reason="DUPLICATE")
        if limits.include_nodes or limits.include_links:
            raise Invalid(f"{name} must pass places: it is not rerouted in bulk", reason="PLACES")
        arcs = _arcs(self.shape, standing.path)
        mask = self._mask(standing, graph)
        ends = (int(self.shape.tail[arcs[0]]), int(self.shape.head[arcs[-1]]))
        bounds = (limits.max_delay_us, limits.max_hops, limits.max_jitter_us)
        self._row[name] = [limits.demand, limits.reverse_demand, ends[1], mask, *bounds, 0, len(arcs), ends[0], 0]
        self._standing[name], self._arcs[name] = standing, arcs
        for link in self.shape.link[arcs].tolist():
            self._over[link].add(name)

    def remove(self, name: str) -> Standing:
        """Take a corridor out; `Invalid` where it does not stand."""
        if name not in self._standing:
            raise Invalid(f"{name} does not stand", reason="UNKNOWN_CORRIDOR")
        for link in self.shape.link[self._arcs.pop(name)].tolist():
            self._over[link].remove(name)
        del self._row[name]
        return self._standing.pop(name)

    def move(self, restored: Restored) -> None:
        """Take over the paths that a restoration found."""
        for answer in restored.answers:
            if answer.path is not None:
                row, standing = self._row[answer.name], self.remove(answer.name)
                self.place(replace(standing, path=answer.path, constraints=_loose(standing.constraints)))
                self._row[answer.name][3] = row[3]
                self._standing[answer.name] = replace(standing, path=answer.path)

    def hit(self, links: Iterable[int]) -> list[str]:
        """Names of those on any of these links: priority descending, then by name."""
        names = set[str]().union(*(self._over[link] for link in links))
        return sorted(names, key=lambda name: (-self._standing[name].priority, name))

    def orders(self, names: Sequence[str]) -> tuple[Longs, Longs]:
        """(rows as the kernel reads them, the arcs they are on)."""
        arcs = [self._arcs[name] for name in names]
        orders = np.array([self._row[name] for name in names], np.int64)
        orders[:, 8] = np.cumsum(orders[:, 8])
        orders[1:, 7] = orders[:-1, 8]
        return orders, np.concatenate(arcs)

    def masks(self) -> Flags:
        """One row per way of ruling links out; the first rules out none."""
        return np.frombuffer(b"".join(self._masks), np.uint8).reshape(len(self._masks), -1).copy()

    def least(self, graph: Graph, objective: Objective, targets: Longs) -> tuple[Longs, Longs]:
        """(rows of what at least lies ahead of every node, row of each target); kept while the metric is the same."""
        metric, shape = graph.metrics[objective].values, self.shape
        if self._metric is not metric:
            self._metric, self._least = metric, {}
        wanted, rows = np.unique(targets, return_inverse=True)
        weight, none = (metric << HOP_BITS) + 1, np.zeros(0, np.uint8)
        for target in wanted.tolist():
            if target not in self._least:
                far, _ = grow(
                    shape.first, shape.head, shape.twin, weight, metric * 0, none, target, 0, 0, True
                )  # fmt: skip
                self._least[target] = np.minimum(far, _FAR)
        return np.stack([self._least[target] for target in wanted.tolist()]), rows.astype(np.int64)

    def _mask(self, standing: Standing, graph: Graph | None) -> int:
        limits = standing.constraints
        if not limits.excludes and limits.mtu_bytes <= self.shape.least_mtu:
            return 0
        if graph is None or graph.shape is not self.shape:
            raise Invalid(f"{standing.name} rules links out: a graph of this shape is needed", reason="NO_GRAPH")
        require_ends(graph, standing.path.nodes[0], standing.path.nodes[-1], limits)
        out = blocked(graph, limits)
        return self._masks.setdefault(out.tobytes(), len(self._masks)) if len(out) else 0


def restore(
    graph: Graph,
    book: Book,
    links: Iterable[str] = (),
    nodes: Iterable[str] = (),
    objective: Objective = Objective.DELAY,
    *,
    shared: bool = True,
    release: Release = Release.AFTER_ALL,
) -> Restored:
    """New paths for all of `book` that these failed links and nodes hit, the highest priority first.

    `graph`: before the cut, all of `book` booked in its room. `Invalid` where a name is unknown, the book is of another
    shape, or the objective is LOAD, whose metric changes with each path.
    """
    if objective is Objective.LOAD or graph.shape is not book.shape:
        raise Invalid("bulk restoration needs a fixed metric and the book's own shape", reason="UNSUPPORTED")
    failed = _failed(graph, links, nodes)
    names, usable = book.hit(failed), graph.room != CLOSED
    usable[graph.shape.arc[failed].ravel()] = False
    free, later = graph.free.copy(), np.zeros_like(graph.free)
    answers: list[Rerouted] = []
    step = max(1, _BATCH // len(graph.shape.nodes)) if graph.shape.nodes else 1
    for i in range(0, len(names), step):
        part = names[i : i + step]
        answers += _batch(graph, book, part, objective, ~usable, free, later, shared, release)
    free += later
    return Restored(tuple(answers), replace(graph, free=free, room=np.where(usable, free, CLOSED)))


def _batch(
    graph: Graph,
    book: Book,
    names: Sequence[str],
    objective: Objective,
    shut: np.ndarray[tuple[int], np.dtype[np.bool_]],
    free: Longs,
    later: Longs,
    shared: bool,
    release: Release,
) -> list[Rerouted]:
    shape, (orders, old) = graph.shape, book.orders(names)
    least, orders[:, 10] = book.least(graph, objective, orders[:, 2])
    nodes, arcs = len(shape.nodes), len(shape.head)
    result, answer = np.zeros((len(names), 4), np.int64), np.empty(len(names) * nodes, np.int64)
    reroute(
        shape.first,
        shape.head,
        shape.twin,
        graph.metrics[objective].values,
        graph.delay,
        shape.jitter,
        shape.processing,
        shut.astype(np.uint8),
        book.masks(),
        least,
        orders,
        old,
        free,
        later,
        shared,
        release is Release.AT_ONCE,
        np.zeros((nodes + 1, 3), np.int64),
        np.empty((arcs + 1, 2), np.int64),
        result,
        answer,
    )
    return _answers(shape, names, orders[:, 9], result, answer[: result[-1, 3]])


def _answers(shape: Shape, names: Sequence[str], sources: Longs, result: Longs, arcs: Longs) -> list[Rerouted]:
    """Names for all paths at one go: looking them up path by path would cost more than the searches."""
    links = _named(shape.links, shape.link[arcs])
    heads = _named(shape.nodes, shape.head[arcs])
    ways, origins = tuple(shape.way[arcs].tolist()), _named(shape.nodes, sources)
    answers = []
    for name, source, (what, delay, begin, end) in zip(names, origins, result.tolist(), strict=True):
        if what == FOUND:
            path = Path((source, *heads[begin:end]), links[begin:end], ways[begin:end], delay)
            answers.append(Rerouted(name, Outcome.REROUTED, path))
        else:
            lacking = links[begin:end] if what == NO_ROOM else ()
            answers.append(Rerouted(name, _OUTCOMES[what], None, lacking))
    return answers


def _named(names: tuple[str, ...], indices: Longs | Ints) -> tuple[str, ...]:
    return itemgetter(*indices.tolist())(names) if len(indices) > 1 else tuple(names[i] for i in indices)


def _failed(graph: Graph, links: Iterable[str], nodes: Iterable[str]) -> list[int]:
    """Indices of all links that fail: of a failed node, each."""
    failed, shape = {graph.link(name) for name in links}, graph.shape
    for name in nodes:
        node = graph.node(name)
        failed.update(shape.link[shape.first[node] : shape.first[node + 1]].tolist())
    return sorted(failed)


def _arcs(shape: Shape, path: Path) -> Longs:
    """The arcs of a path; `Invalid` where it has none, or is none of this shape."""
    try:
        at = [shape.link_index[link] for link in path.links]
        nodes = [shape.node_index[node] for node in path.nodes]
    except KeyError as unknown:
        raise Invalid(f"{unknown.args[0]} is not of this layer", reason="UNKNOWN_LINK") from None
    if not at or len(path.directions) != len(at) or {*path.directions} - {0, 1} or len({*nodes}) != len(nodes):
        raise Invalid("a path of a corridor has links, and passes no node twice", reason="BAD_PATH")
    arcs = shape.arc[at, list(path.directions)].astype(np.int64)
    if [*shape.tail[arcs[:1]].tolist(), *shape.head[arcs].tolist()] != nodes or (
        shape.head[arcs[:-1]] != shape.tail[arcs[1:]]
    ).any():
        raise Invalid("the links of a path do not hang together", reason="BAD_PATH")
    return arcs


def _loose(constraints: Constraints) -> Constraints:
    """Without what rules links out, which a corridor that moves has looked up already."""
    return Constraints(
        demand=constraints.demand,
        reverse_demand=constraints.reverse_demand,
        max_delay_us=constraints.max_delay_us,
        max_hops=constraints.max_hops,
        max_jitter_us=constraints.max_jitter_us,
    )
