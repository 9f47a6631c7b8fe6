"""Filling: a list of slices that is known as a whole, planned as a whole.

Arrival order wastes what a long slice takes on many fibres. Here a linear program says how much of each group of
demands belongs on each route (`relaxation`), whole slices make up these amounts (`choosing`) and are packed into server
ODUs (`packing`), and local search fills what is left. The same list gives the same plan; the work is bounded by
`ROUNDS` and the limits of `choosing`, and how far the plan can be from the best is known from `bound`.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.model import SliceHop
from controller.core.otn.choosing import Route, choose
from controller.core.otn.packing import fullest, parted
from controller.core.otn.rates import MAX_FGTS_PER_SLICE
from controller.core.otn.relaxation import Routes, relax
from controller.core.otn.rooms import Room
from controller.core.otn.slots import format_slots

ROUNDS = 20
"""Of local search, at most; each one carries more than the one before."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A slice that is asked for: its slots, on one of these routes (the fibres of each, A to Z)."""

    name: str
    slots: int
    routes: Routes


@dataclass(frozen=True, slots=True)
class Filled:
    """What of a list is carried, and where."""

    placements: Mapping[str, tuple[SliceHop, ...]]
    """By the names of the demands that are carried, in the order of the list."""
    carried: int
    """Slots, each demand counted once."""
    bound: float
    """No plan for this list and these routes carries more, not even one that splits demands."""


def fill(demands: Sequence[Demand], rooms: Mapping[str, Sequence[Room]]) -> Filled:
    """Carry as many slots of `demands` as can be in the rooms of every fibre of their routes. Names are unique."""
    asked: dict[Routes, int] = defaultdict(int)
    for demand in demands:
        asked[demand.routes] += demand.slots
    total = {fibre: sum(room.free.bit_count() for room in each) for fibre, each in rooms.items()}
    relaxed = relax(asked, total)
    planned, in_order = _Plan(demands, rooms), _Plan(demands, rooms)
    planned.pack(choose(planned.waiting, relaxed.flow, total))
    in_order.admit()
    best = max((planned, in_order), key=_Plan.improved)
    chosen = [(demand, best.where[each]) for each, demand in enumerate(demands) if each in best.where]
    return Filled(_numbered(chosen, rooms), best.carried, relaxed.bound)


def _numbered(
    chosen: Iterable[tuple[Demand, Mapping[str, int]]], rooms: Mapping[str, Sequence[Room]]
) -> dict[str, tuple[SliceHop, ...]]:
    """The lowest slot numbers that are free, slice by slice."""
    free = {
        (fibre, server): iter([slot + 1 for slot in range(room.free.bit_length()) if room.free >> slot & 1])
        for fibre, each in rooms.items()
        for server, room in enumerate(each)
    }
    return {
        demand.name: tuple(
            SliceHop(
                fibre,
                rooms[fibre][server].server,
                format_slots([next(free[fibre, server]) for _ in range(demand.slots)]),
            )
            for fibre, server in servers.items()
        )
        for demand, servers in chosen
    }


@dataclass
class _Plan:
    """A plan in the making: where each demand that is carried runs, and what is left. Demands by their positions."""

    demands: Sequence[Demand]
    rooms: Mapping[str, Sequence[Room]]
    where: dict[int, dict[str, int]] = field(default_factory=dict)
    """Of each demand that is carried: fibre -> position of its server."""
    left: dict[str, list[int]] = field(init=False)
    """Free slots of each server of a fibre."""
    waiting: dict[Routes, list[tuple[int, int]]] = field(init=False)
    """(slots, demand) of those that are not carried, ascending."""

    def __post_init__(self) -> None:
        self.left = {fibre: [room.free.bit_count() for room in each] for fibre, each in self.rooms.items()}
        groups: dict[Routes, list[tuple[int, int]]] = defaultdict(list)
        for each, demand in enumerate(self.demands):
            groups[demand.routes].append((demand.slots, each))
        self.waiting = {routes: sorted(group) for routes, group in groups.items()}

    @property
    def carried(self) -> int:
        return sum(map(self._size, self.where))

    def improved(self) -> int:
        """What is carried after local search, which ends when nothing is gained any more."""
        for _ in range(ROUNDS):
            if not self.refill() + self.swap() + self.offer() + self.rearrange():
                break
        return self.carried

    def admit(self) -> None:
        """One by one, each on the first of its routes that has room: what comes of a short list is hard to better."""
        for each, demand in enumerate(self.demands):
            for route in demand.routes:
                if all(max(self.left[fibre], default=0) >= demand.slots for fibre in route):
                    self.waiting[demand.routes].remove((demand.slots, each))
                    self._place(each, {fibre: self._snuggest(fibre, demand.slots) for fibre in route})
                    break

    def pack(self, route: Mapping[int, Route]) -> None:
        """Put those with a route into servers, fibre by fibre; one that finds no server somewhere is not carried.

        The longest routes come first, and those of one fibre last: these are chosen anew by `refill`.
        """
        through: dict[str, list[int]] = defaultdict(list)
        for each, fibres in route.items():
            for fibre in fibres:
                through[fibre].append(each)
        servers: dict[int, dict[str, int]] = defaultdict(dict)
        refused: set[int] = set()
        for fibre, left in self.left.items():
            mine = sorted(set(through[fibre]) - refused, key=lambda each: (-len(route[each]), -self._size(each), each))
            for each, server in zip(mine, parted([self._size(each) for each in mine], left), strict=True):
                if server is None:
                    refused.add(each)
                else:
                    servers[each][fibre] = server
        for each, fibres in route.items():
            if each not in refused:
                self.waiting[self.demands[each].routes].remove((self._size(each), each))
                self._place(each, {fibre: servers[each][fibre] for fibre in fibres})

    def offer(self) -> int:
        """Carry what waits and fits, on the first route that has room for the largest. Returns slots gained."""
        gained = 0
        for routes, group in self.waiting.items():
            while group and (best := self._roomiest(routes)):
                position = bisect_right(group, (best[0], len(self.demands))) - 1
                if position < 0:
                    break
                slots, each = group.pop(position)
                self._place(each, {fibre: self._snuggest(fibre, slots) for fibre in best[1]})
                gained += slots
        return gained

    def swap(self) -> int:
        """Give the servers of a slice to a larger one of its group, where it has room. Returns slots gained."""
        gained = 0
        for each in list(self.where):
            servers, size = self.where[each], self._size(each)
            group = self.waiting[self.demands[each].routes]
            room = size + min(self.left[fibre][server] for fibre, server in servers.items())
            position = bisect_right(group, (room, len(self.demands))) - 1
            if position >= 0 and group[position][0] > size:
                slots, other = group.pop(position)
                self._release(each)
                self._place(other, servers)
                gained += slots - size
        return gained

    def refill(self) -> int:
        """Choose anew those of a server that run over no other fibre, from all such. Returns slots gained."""
        alone: dict[tuple[str, int], list[int]] = defaultdict(list)
        for each, servers in self.where.items():
            if len(servers) == 1:
                alone[next(iter(servers.items()))].append(each)
        gained = 0
        for fibre, free_of in self.left.items():
            groups = [routes for routes in self.waiting if (fibre,) in routes]
            for server, free in enumerate(free_of):
                if free:
                    gained += self._refill(fibre, server, alone[fibre, server], groups)
        return gained

    def _refill(self, fibre: str, server: int, held: list[int], groups: list[Routes]) -> int:
        waiting = sorted((entry for routes in groups for entry in self.waiting[routes]), reverse=True)
        pool = held + [each for _, each in waiting]
        before = sum(map(self._size, held))
        chosen = fullest([self._size(each) for each in pool], before + self.left[fibre][server])
        gained = sum(self._size(pool[position]) for position in chosen) - before
        if not gained:
            return 0
        taken = {pool[position] for position in chosen}
        for each in held:
            if each not in taken:
                self._release(each)
        for each in taken.difference(held):
            self.waiting[self.demands[each].routes].remove((self._size(each), each))
            self._place(each, {fibre: server})
        return gained

    def rearrange(self) -> int:
        """Carry what waits and finds room on each fibre, though in no one server: others move aside. Slots gained."""
        gained, tight = 0, dict.fromkeys(self.left, MAX_FGTS_PER_SLICE + 1)
        for routes, group in self.waiting.items():
            for slots, each in group[::-1]:
                for route in routes:
                    if all(slots < tight[fibre] and slots <= sum(self.left[fibre]) for fibre in route):
                        servers = self._rearranged(route, slots, tight)
                        if servers:
                            group.remove((slots, each))
                            self._place(each, servers)
                            gained += slots
                            break
        return gained

    def _rearranged(self, route: Route, slots: int, tight: dict[str, int]) -> dict[str, int]:
        """A server of each fibre, where those that are there now are packed closer; empty where that does not do."""
        moved: dict[str, dict[int, int]] = {}
        servers: dict[str, int] = {}
        for fibre in route:
            held = sorted((-self._size(each), each) for each, at in self.where.items() if fibre in at)
            rooms = [room.free.bit_count() for room in self.rooms[fibre]]
            place = parted([slots, *(-size for size, _ in held)], rooms)
            if None in place:
                tight[fibre] = slots
                return {}
            servers[fibre], *others = (server for server in place if server is not None)
            moved[fibre] = {each: server for (_, each), server in zip(held, others, strict=True)}
        for fibre, places in moved.items():
            for each, server in places.items():
                self.left[fibre][self.where[each][fibre]] += self._size(each)
                self.left[fibre][server] -= self._size(each)
                self.where[each][fibre] = server
        return servers

    def _size(self, each: int) -> int:
        return self.demands[each].slots

    def _place(self, each: int, servers: dict[str, int]) -> None:
        for fibre, server in servers.items():
            self.left[fibre][server] -= self._size(each)
        self.where[each] = servers

    def _release(self, each: int) -> None:
        for fibre, server in self.where.pop(each).items():
            self.left[fibre][server] += self._size(each)
        insort(self.waiting[self.demands[each].routes], (self._size(each), each))

    def _roomiest(self, routes: Routes) -> tuple[int, tuple[str, ...]] | None:
        """(slots, route) of the route that takes the largest slice; None where none takes any."""
        rooms = [(min(max(self.left[fibre], default=0) for fibre in route), -len(route), route) for route in routes]
        room, _, route = max(rooms)
        return (room, route) if room else None

    def _snuggest(self, fibre: str, slots: int) -> int:
        """The server with the least room that is enough; none is opened while one that is open will do."""
        rooms, left = self.rooms[fibre], self.left[fibre]
        fitting = [server for server, free in enumerate(left) if free >= slots]
        fresh = [not room.stands and room.free.bit_count() == free for room, free in zip(rooms, left, strict=True)]
        return min(fitting, key=lambda server: (fresh[server], 0 if fresh[server] else left[server], server))
