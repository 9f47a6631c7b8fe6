"""Restoration in bulk: new paths for all that a cut hits, in priority order, nothing counted twice.

What a corridor holds while it moves is the ledger's rule. `shared` (soft): per arc the larger of its old and new
claim, so its old claim is room for itself. Not shared (hard slices): old and new stand side by side, so it is not. When
the old claims are room for the *others* is `Release`. A corridor that finds no path keeps its claims: it stays where it
is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import repeat
from typing import NamedTuple, cast

import numpy as np

from controller.core.errors import Invalid
from controller.core.graph import CLOSED, HOP_BITS, Flags, Graph, Longs, Objective, Shape
from controller.core.paths.admissible import blocked, require_ends
from controller.core.paths.bulk_kernel import BEGIN, BOUND, END, FOUND, GOAL, NO_PATH, NO_ROOM, TARGET, reroute
from controller.core.paths.path import NONE, Constraints, Path, arcs_of, picked
from controller.core.paths.tree import grow

BATCH = 1 << 20
"""Arcs that the answers to one call of the kernel may fill."""
_FIRST = 64
_COLUMNS = 11
WORTH = 16
"""Searches for one target spare its tree while they are fewer than a node in so many."""


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


class Rerouted(NamedTuple):
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
        self._slots: dict[str, int] = {}
        self._standing: list[Standing | None] = []
        self._orders: Longs = np.zeros((_FIRST, _COLUMNS), np.int64)
        self._over: list[set[int]] = [set() for _ in shape.links]
        self._turns: list[tuple[int, str, int]] = []
        self._turn: Longs | None = None
        self._gone: set[int] = set()
        self._vacant: list[int] = []
        self._pool: Longs = np.zeros(_FIRST, np.int64)
        self._filled = self._waste = 0
        self._masks: dict[bytes, int] = {bytes(len(shape.head)): 0}
        self._goals: dict[tuple[int, int], int] = {}
        self._metric: Longs | None = None
        self._least: Longs = np.zeros((0, len(shape.nodes)), np.int64)
        self._least_row: Longs = np.full(len(shape.nodes), -1, np.int64)
        for each in standing:
            self.place(each)
        self._in_turn()

    def __len__(self) -> int:
        return len(self._slots)

    def place(self, standing: Standing, graph: Graph | None = None) -> None:
        """Add a corridor. `Invalid` where its name is taken, its path is none of this shape, or it must pass places.

        `graph`: needed where its constraints rule links out.
        """
        name, limits = standing.name, standing.constraints
        if name in self._slots:
            raise Invalid(f"{name} stands already", reason="DUPLICATE")
        if limits.include_nodes or limits.include_links:
            raise Invalid(f"{name} must pass places: it is not rerouted in bulk", reason="PLACES")
        arcs = _arcs(self.shape, standing.path)
        mask, ends = self._mask(standing, graph), (int(self.shape.tail[arcs[0]]), int(self.shape.head[arcs[-1]]))
        goal = self._goals.setdefault((mask, ends[1]), len(self._goals))
        slot = self._vacant.pop() if self._vacant else len(self._standing)
        if slot == len(self._standing):
            self._standing.append(None)
            self._orders = _longer(self._orders, slot + 1)
        bounds = (limits.max_delay_us, limits.max_hops, limits.max_jitter_us)
        self._orders[slot] = [limits.demand, limits.reverse_demand, ends[1], mask, *bounds, 0, 0, ends[0], goal]
        self._slots[name], self._standing[slot] = slot, standing
        self._turns.append((-standing.priority, name, slot))
        self._turn = None
        self._stand(slot, arcs)

    def remove(self, name: str) -> Standing:
        """Take a corridor out; `Invalid` where it does not stand."""
        slot = self._slot(name)
        standing = self._at(slot)
        self._leave(slot)
        del self._slots[name]
        self._standing[slot] = None
        self._gone.add(slot)  # vacant only when no turn names it any more
        if 2 * len(self._gone) > max(len(self._standing), _FIRST):
            self._turn = self._in_turn()
        return standing

    def move(self, restored: Restored) -> None:
        """Take over the paths that a restoration found."""
        for answer in restored.answers:
            if answer.path is not None:
                slot, arcs = self._slot(answer.name), _arcs(self.shape, answer.path)
                self._leave(slot)
                self._standing[slot] = replace(self._at(slot), path=answer.path)
                self._stand(slot, arcs)

    def hit(self, links: Iterable[int]) -> Longs:
        """Slots of those on any of these links: priority descending, then by name."""
        over = [self._over[link] for link in links]
        slots = over[0] if len(over) == 1 else set[int]().union(*over)
        if not slots:
            return np.zeros(0, np.int64)
        found, turn = np.fromiter(slots, np.int64, len(slots)), self._in_turn()
        ordered: Longs = found[np.argsort(turn[found])]
        return ordered

    def names(self, slots: Longs) -> list[str]:
        return [self._at(slot).name for slot in slots.tolist()]

    def orders(self, slots: Longs) -> tuple[Longs, Longs]:
        """(rows as the kernel reads them, the arcs in which they find their own)."""
        return self._orders[slots], self._pool

    def masks(self) -> Flags:
        """One row per way of ruling links out; the first rules out none."""
        return np.frombuffer(b"".join(self._masks), np.uint8).reshape(len(self._masks), -1).copy()

    def least(self, graph: Graph, objective: Objective, targets: Longs) -> tuple[Longs, Longs]:
        """(rows of what at least lies ahead of every node, row of each node's); kept while the metric is the same."""
        metric, shape, nodes = graph.metrics[objective].values, self.shape, len(self.shape.nodes)
        if self._metric is not metric:
            self._metric, self._least_row = metric, np.full(nodes, -1, np.int64)
            self._least = np.zeros((0, nodes), np.int64)
        wanted = np.unique(targets[self._least_row[targets] < 0]).tolist()
        if wanted:
            weight, none = (metric << HOP_BITS) + 1, np.zeros(0, np.uint8)
            rows = [
                grow(shape.first, shape.head, shape.twin, weight, metric * 0, none, target, 0, 0, True)[0]
                for target in wanted
            ]
            self._least_row[wanted] = np.arange(len(wanted)) + len(self._least)
            self._least = np.concatenate([self._least, rows])
        return self._least, self._least_row

    def _slot(self, name: str) -> int:
        try:
            return self._slots[name]
        except KeyError:
            raise Invalid(f"{name} does not stand", reason="UNKNOWN_CORRIDOR") from None

    def _at(self, slot: int) -> Standing:
        return cast(Standing, self._standing[slot])

    def _stand(self, slot: int, arcs: Longs) -> None:
        """Put a corridor on these arcs."""
        begin, end = self._filled, self._filled + len(arcs)
        self._pool = _longer(self._pool, end)
        self._pool[begin:end] = arcs
        self._orders[slot, BEGIN], self._orders[slot, END], self._filled = begin, end, end
        for link in self.shape.link[arcs].tolist():
            self._over[link].add(slot)

    def _leave(self, slot: int) -> None:
        """Take a corridor off its arcs; these are done away with when half of the pool is such."""
        arcs = self._pool[self._orders[slot, BEGIN] : self._orders[slot, END]]
        for link in self.shape.link[arcs].tolist():
            self._over[link].remove(slot)
        self._waste += len(arcs)
        self._orders[slot, END] = self._orders[slot, BEGIN]
        if 2 * self._waste > max(self._filled, _FIRST):
            self._compact()

    def _compact(self) -> None:
        orders = self._orders[: len(self._standing)]
        kept = [self._pool[begin:end] for begin, end in orders[:, [BEGIN, END]].tolist()]
        long = orders[:, END] - orders[:, BEGIN]
        self._pool, self._filled, self._waste = np.concatenate(kept), int(long.sum()), 0
        orders[:, END] = np.cumsum(long)
        orders[:, BEGIN] = orders[:, END] - long

    def _in_turn(self) -> Longs:
        """Per slot, its turn when all were hit; sorted anew after a change only."""
        if self._turn is None:
            if self._gone:
                self._turns = [turn for turn in self._turns if turn[2] not in self._gone]
            self._turns.sort()  # most are in order already
            self._vacant += sorted(self._gone)
            self._gone.clear()
            self._turn = np.zeros(len(self._standing), np.int64)
            self._turn[[slot for _, _, slot in self._turns]] = np.arange(len(self._turns))
        return self._turn

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
    slots, usable = book.hit(failed), graph.room != CLOSED
    usable[graph.shape.arc[failed].ravel()] = False
    free, later = graph.free.copy(), np.zeros_like(graph.free)
    answers: list[Rerouted] = []
    step = max(1, BATCH // max(1, len(graph.shape.nodes)))
    for i in range(0, len(slots), step):
        part = slots[i : i + step]
        answers += _batch(graph, book, part, objective, ~usable, free, later, shared, release)
    free += later
    return Restored(tuple(answers), replace(graph, free=free, room=np.where(usable, free, CLOSED)))


def _batch(
    graph: Graph,
    book: Book,
    slots: Longs,
    objective: Objective,
    shut: np.ndarray[tuple[int], np.dtype[np.bool_]],
    free: Longs,
    later: Longs,
    shared: bool,
    release: Release,
) -> list[Rerouted]:
    shape, (orders, old), nodes = graph.shape, book.orders(slots), len(graph.shape.nodes)
    worth = WORTH * np.bincount(orders[:, GOAL]) >= nodes
    searched = orders[~worth[orders[:, GOAL]], TARGET]
    result, paths = np.empty((len(slots), 2), np.int64), np.zeros((2 * len(slots), 5), np.int64)
    answer = np.empty(2 * len(slots) * nodes, np.int64)
    count = reroute(
        shape.first,
        shape.head,
        shape.twin,
        graph.metrics[objective].values,
        graph.delay,
        shape.jitter,
        shape.processing,
        shut.astype(np.uint8),
        book.masks(),
        orders,
        old,
        np.where(worth, np.cumsum(worth) - 1, -1),
        *book.least(graph, objective, searched),
        free,
        later,
        shared,
        release is Release.AT_ONCE,
        result,
        paths,
        answer,
    )
    return _answers(shape, book.names(slots), result, paths[:count], answer)


def _answers(shape: Shape, names: list[str], result: Longs, rows: Longs, arcs: Longs) -> list[Rerouted]:
    """All names at one go: looking them up path by path would cost more than the searches. Equal paths are one."""
    used = arcs[: rows[-1, 2]] if len(rows) else arcs[:0]
    links, heads = picked(shape.links, shape.link[used].tolist()), picked(shape.nodes, shape.head[used].tolist())
    ways, nodes = tuple(shape.way[used].tolist()), shape.nodes
    wanted = np.zeros(len(rows), bool)
    wanted[result[result[:, 0] == FOUND, 1]] = True
    paths = [
        Path((nodes[source], *heads[begin:end]), links[begin:end], ways[begin:end], delay) if want else None
        for want, (delay, begin, end, source, _) in zip(wanted.tolist(), rows.tolist(), strict=True)
    ]
    if (result[:, 0] == FOUND).all():
        found = [paths[row] for row in result[:, 1].tolist()]
        return list(map(Rerouted, names, repeat(Outcome.REROUTED), found))
    answers = []
    for name, (what, row) in zip(names, result.tolist(), strict=True):
        path = paths[row] if what == FOUND else None
        lacking = links[rows[row, 1] : rows[row, 2]] if what == NO_ROOM else ()
        answers.append(Rerouted(name, _OUTCOMES[what], path, lacking))
    return answers


def _longer(figures: Longs, rows: int) -> Longs:
    """The same with at least so many rows: twice as many where they do not suffice."""
    if rows <= len(figures):
        return figures
    longer = np.zeros((2 * rows, *figures.shape[1:]), np.int64)
    longer[: len(figures)] = figures
    return longer


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
        nodes = [shape.node_index[node] for node in path.nodes]
    except KeyError as unknown:
        raise Invalid(f"{unknown.args[0]} is not of this layer", reason="UNKNOWN_LINK") from None
    if (
        not path.links
        or len(path.directions) != len(path.links)
        or {*path.directions} - {0, 1}
        or len({*nodes}) != len(nodes)
    ):
        raise Invalid("a path of a corridor has links, and passes no node twice", reason="BAD_PATH")
    arcs = arcs_of(shape, path).astype(np.int64)
    if [*shape.tail[arcs[:1]].tolist(), *shape.head[arcs].tolist()] != nodes or (
        shape.head[arcs[:-1]] != shape.tail[arcs[1:]]
    ).any():
        raise Invalid("the links of a path do not hang together", reason="BAD_PATH")
    return arcs
