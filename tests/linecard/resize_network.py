"""A chain of OTN nodes with fibres that delay, reorder, repeat and lose, and an oracle that keeps meters of its own.

Node i has line port 1 to node i-1 and line port 2 to node i+1. What an output asks for is all that is believed: the
oracle's meters change by `Commit` alone, and are compared after each of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from controller.linecard.resize import ResizeNode
from controller.linecard.resize_messages import ResizeMessage, decode, encode
from controller.linecard.resize_values import Commit, Notice, Output, ResizeState, Send, Timing
from controller.linecard.slot_table import Holding, SlotTable

LEFT, RIGHT = 1, 2
TIMING = Timing(retry_s=1.0, attempts=4)
OK, FAILED, MODIFYING = ResizeState.MODIFIED_OK, ResizeState.MODIFY_FAILED, ResizeState.MODIFYING


@dataclass
class Slice:
    """From node `a` to node `z` of the chain, `room` slots reserved on each hop."""

    slice_id: int
    a: int
    z: int
    size: int
    room: int

    @property
    def nodes(self) -> list[int]:
        """From A to Z."""
        return list(range(self.a, self.z + 1)) if self.a < self.z else list(range(self.a, self.z - 1, -1))

    def slots(self, fibre: int) -> tuple[int, ...]:
        """In some order, another on every fibre, apart from those of all other slices."""
        numbers = [64 * self.slice_id + k for k in range(self.room)]
        Random(f"{self.slice_id} {fibre}").shuffle(numbers)
        return tuple(numbers)

    def holdings(self, node: int, active: int, room: int | None = None) -> list[Holding]:
        low, high = min(self.a, self.z), max(self.a, self.z)
        ports = [(LEFT, node - 1)] * (low < node) + [(RIGHT, node)] * (node < high)
        return [Holding(self.slice_id, port, "odu2-1", self.slots(fibre)[:room], active) for port, fibre in ports]


@dataclass
class Fibres:
    """How messages fare; times in seconds."""

    delay: Callable[[], float] = lambda: 0.01
    copies: Callable[[int, int, ResizeMessage], int] = lambda sender, receiver, message: 1
    """How many of a message arrive."""


@dataclass
class Network:
    length: int
    slices: list[Slice]
    fibres: Fibres = field(default_factory=Fibres)
    now: float = 100.0
    guarded: bool = True
    """No node was restarted or forced: its meters may be compared with its neighbours' at any instant."""

    def __post_init__(self) -> None:
        self.starts = 0
        self.queue: list[tuple[float, int, int, int, bytes]] = []
        self.sequence = 0
        self.notices: list[Notice] = []
        self.sent: list[tuple[int, int, ResizeMessage]] = []
        self.meters: dict[tuple[int, int], list[int]] = {}
        self.tables: list[SlotTable] = []
        self.nodes: list[ResizeNode] = []
        for node in range(self.length):
            self.tables.append(SlotTable())
            self.nodes.append(self._new_node(node))
            self.fill(node)

    def _new_node(self, node: int, incarnation: int | None = None) -> ResizeNode:
        self.starts += 1
        number = self.starts if incarnation is None else incarnation
        return ResizeNode(f"otn-{node}", self.tables[node], number, TIMING)

    def fill(self, node: int, sizes: dict[int, int] | None = None) -> None:
        """As the controller does: all holdings, with the size where the node does not know the slice."""
        for each in self.slices:
            if node in each.nodes:
                size = (sizes or {}).get(each.slice_id, each.size)
                assert self.tables[node].apply(each.holdings(node, size)) == ()
                self.meters.setdefault((node, each.slice_id), [size, size])

    def restart(self, node: int, incarnation: int | None = None) -> None:
        """Empty: no slice, no meter, no memory. `incarnation`: what its clock says, where that is not the latest."""
        self.guarded = False
        self.tables[node] = SlotTable()
        self.nodes[node] = self._new_node(node, incarnation)
        for each in self.slices:
            self.meters.pop((node, each.slice_id), None)

    def command(self, each: Slice, target: int) -> None:
        self._do(each.a, self.nodes[each.a].command(each.slice_id, target, self.now))

    def force(self, node: int, each: Slice, count: int) -> None:
        self._do(node, self.nodes[node].force(each.slice_id, count, self.now))

    def _do(self, node: int, outputs: list[Output]) -> None:
        sends = [isinstance(output, Send) for output in outputs if not isinstance(output, Notice)]
        assert sends == sorted(sends), "a neighbour may go on before this node has committed"
        for output in outputs:
            match output:
                case Commit(slice_id, direction, count):
                    self.meters[node, slice_id][direction] = count
                    self.check()
                case Send(line_port, message):
                    self._send(node, line_port, message)
                case Notice():
                    self.notices.append(output)

    def _send(self, node: int, line_port: int, message: ResizeMessage) -> None:
        neighbour = node + 1 if line_port == RIGHT else node - 1
        assert 0 <= neighbour < self.length
        payload = encode(message)
        self.sent.append((node, neighbour, message))
        for _ in range(self.fibres.copies(node, neighbour, message)):
            self.inject(neighbour, LEFT if line_port == RIGHT else RIGHT, payload, self.fibres.delay())

    def inject(self, node: int, line_port: int, payload: bytes, delay: float) -> None:
        self.sequence += 1
        heapq.heappush(self.queue, (self.now + delay, self.sequence, node, line_port, payload))

    def step(self) -> bool:
        """The next thing that happens; False where nothing more does."""
        deadlines = [(node.next_deadline, i) for i, node in enumerate(self.nodes)]
        due = min(((at, i) for at, i in deadlines if at is not None), default=None)
        if self.queue and (due is None or self.queue[0][0] <= due[0]):
            self.now, _, node, line_port, payload = heapq.heappop(self.queue)
            self._do(node, self.nodes[node].received(line_port, decode(payload), self.now))
        elif due is not None:
            self.now = max(self.now, due[0])
            self._do(due[1], self.nodes[due[1]].tick(self.now))
        else:
            return False
        return True

    def settle(self, steps: int = 20_000) -> None:
        for _ in range(steps):
            if not self.step():
                return
        raise AssertionError("it never comes to rest")

    def resized(self, each: Slice, target: int) -> Notice:
        """Command, and wait until all is quiet: the notice that ended it."""
        self.notices.clear()
        self.command(each, target)
        self.settle()
        (last,) = [notice for notice in self.notices if notice.state is not MODIFYING]
        return last

    def sizes(self, each: Slice) -> set[tuple[int, int]]:
        """What the oracle's meters have, which must be what the tables have."""
        for node in each.nodes:
            assert self.tables[node].committed(each.slice_id) == tuple(self.meters[node, each.slice_id])
        return {(f, r) for f, r in (self.meters[node, each.slice_id] for node in each.nodes)}

    def check(self) -> None:
        """Each node lets through at least what the one before it does."""
        if not self.guarded:
            return
        for each in self.slices:
            for direction, way in ((0, each.nodes), (1, each.nodes[::-1])):
                counts = [self.meters[node, each.slice_id][direction] for node in way]
                assert counts == sorted(counts), f"slice {each.slice_id}, direction {direction}: {counts}"


def shaken(
    seed: int, loss: float = 0.0, twice: float = 0.0, slowest: float = 0.05, budget: int | None = None
) -> Fibres:
    """Fibres that delay each message by up to `slowest`, so that they overtake each other, repeat and lose some.

    `budget`: how many they lose at most.
    """
    random = Random(seed)
    left = [budget if budget is not None else 1 << 30]

    def copies(sender: int, receiver: int, message: ResizeMessage) -> int:
        if left[0] > 0 and random.random() < loss:
            left[0] -= 1
            return 0
        return 2 if random.random() < twice else 1

    return Fibres(lambda: random.uniform(0.0001, slowest), copies)
