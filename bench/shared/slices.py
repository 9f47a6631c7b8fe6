"""Networks to fill with fine-grain slices, the arrivals, and what a choice slice by slice makes of them.

A list ends after `PATIENCE` refusals in a row. Which ones are refused is decided by the controller's own grooming, on
the first of the given routes that has room; the list is then the same for everybody.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, combinations
from pathlib import Path

import numpy as np
from plan import live
from scipy.optimize import linprog
from scipy.sparse import coo_matrix
from shared.graphs import coronet
from shared.rows import Differ

from controller.core.graph import build
from controller.core.model import Container, Link, LinkKind, Node, NodeKind, SliceHop
from controller.core.otn import LINE, MAX_FGTS_PER_SLICE, Ledger, RowKey, parse_slots
from controller.core.otn.filling import Demand
from controller.core.otn.grooming import groom
from controller.core.otn.ledger import slice_claims
from controller.core.otn.relaxation import Routes, relax
from controller.core.otn.rooms import rooms_of
from controller.core.paths import ranked
from controller.core.topology import Topology
from controller.core.trails import initial_ledger

PATIENCE = 500
TOLERANCE = 1e-6
DIRECTIONS = (0, 1)
Placements = Mapping[str, tuple[SliceHop, ...]]
Choice = Callable[[list[tuple[str, ...]], Mapping[str, float]], tuple[str, ...]]
"""Of the routes with room, given the share of each fibre that is free, the one to take."""


@dataclass(frozen=True, eq=False)
class Network:
    """An optical layer before any slice, and the routes that slices of each pair of sites may take."""

    name: str
    topology: Topology
    ledger: Ledger
    routes: tuple[tuple[tuple[str, ...], ...], ...]
    """Per pair of sites."""

    def free(self, ledger: Ledger | None = None) -> dict[str, dict[str, int]]:
        """Fine-grain slots that each fibre offers, by server: at first, or as this ledger says."""
        rooms = rooms_of(self.topology, ledger or self.ledger)
        return {fibre: {room.server: room.free.bit_count() for room in each} for fibre, each in rooms.items()}

    def room(self) -> dict[str, int]:
        """The same, summed over servers."""
        return {fibre: sum(servers.values()) for fibre, servers in self.free().items()}


@cache
def metro(paths: int) -> Network:
    """Beijing with its trails: what these and the servers leave of each line is for slices too."""
    snapshot = live("metro-beijing")
    fibres, nodes = snapshot.topology.of_kind(LinkKind.FIBRE), snapshot.topology.nodes.values()
    return _network("metro-beijing", snapshot.topology, snapshot.ledger, nodes, fibres, paths)


@cache
def conus(instances: Path | None, paths: int) -> Network | None:
    """CORONET CONUS with an OTU4 line on each fibre and nothing on it; None where it is not there."""
    layer = coronet(instances, 1, 1)
    if layer is None:
        return None
    nodes = [replace(node, kind=NodeKind.OTN) for node in layer.nodes]
    line = {"kind": LinkKind.FIBRE, "line": Container.ODU4, "line_slots": 80, "capacity_kbps": 0}
    fibres = [replace(link, **line) for link in layer.links]
    topology = Topology.planned("cn", "fcbb:bb00::/32", nodes, fibres)
    return _network("CORONET CONUS", topology, initial_ledger(topology), nodes, fibres, paths)


def _network(
    name: str, topology: Topology, ledger: Ledger, nodes: Iterable[Node], fibres: Sequence[Link], paths: int
) -> Network:
    """With the `paths` routes of least delay of every pair of sites."""
    sites = sorted(node.name for node in nodes if node.kind is NodeKind.OTN)
    graph = build([node for node in nodes if node.kind is NodeKind.OTN], fibres)
    pairs = combinations(sites, 2)
    routes = tuple(tuple(route.path.links for route in ranked(graph, a, z, paths)) for a, z in pairs)
    return Network(name, topology, ledger, routes)


def nearest(routes: list[tuple[str, ...]], free: Mapping[str, float]) -> tuple[str, ...]:
    """First fit: the routes are in the order of their delay."""
    return routes[0]


def emptiest(routes: list[tuple[str, ...]], free: Mapping[str, float]) -> tuple[str, ...]:
    """The least sum of what its fibres cost, which grows with the square of how full they are."""
    return min(routes, key=lambda route: sum((free[fibre] + 0.01) ** -2 for fibre in route))


class Online:
    """Slices placed as they come, by the controller's grooming and ledger; what stands is never moved."""

    def __init__(self, network: Network, choose: Choice) -> None:
        self.topology, self.ledger, self.choose = network.topology, network.ledger, choose
        self.placed: dict[str, tuple[SliceHop, ...]] = {}
        self.carried = 0
        self._total = network.room()
        self._largest = {fibre: max(servers.values()) for fibre, servers in network.free().items()}
        self._share = dict.fromkeys(self._total, 1.0)

    def offer(self, demand: Demand) -> bool:
        """True where it was placed."""
        open_routes = [r for r in demand.routes if min(self._largest[fibre] for fibre in r) >= demand.slots]
        if not open_routes:
            return False
        route = self.choose(open_routes, self._share)
        hops = groom(self.topology, self.ledger, route, Container.FGODUFLEX, demand.slots).hops
        self.ledger = self.ledger.change(frozenset(), frozenset(slice_claims(demand.name, hops)))
        self.placed[demand.name], self.carried = hops, self.carried + demand.slots
        rooms = rooms_of(self.topology, self.ledger, route)
        for fibre in route:
            free = [room.free.bit_count() for room in rooms[fibre]]
            self._largest[fibre], self._share[fibre] = max(free, default=0), sum(free) / self._total[fibre]
        return True


@cache
def arrivals(network: Network, seed: int) -> tuple[list[Demand], Online]:
    """Slices of 1 to 119 slots between random sites, until first fit refused `PATIENCE` in a row; and first fit."""
    chance, online, demands, refused = random.Random(seed), Online(network, nearest), [], 0
    while refused < PATIENCE:
        routes = chance.choice(network.routes)
        demand = Demand(f"slice-{len(demands):06}", chance.randint(1, MAX_FGTS_PER_SLICE), routes)
        demands.append(demand)
        refused = 0 if online.offer(demand) else refused + 1
    return demands, online


def whole(network: Network, demands: Sequence[Demand]) -> int:
    """How many of the first demands the bound carries entirely: as many can arrive before anything must be refused."""
    room = network.room()
    needed = accumulate(demand.slots * min(map(len, demand.routes)) for demand in demands)
    most = sum(1 for slots in needed if slots <= sum(room.values()))

    def short(count: int) -> bool:
        asked = grouped(demands[:count])
        return relax(asked, room).bound < sum(asked.values()) - 0.5

    return bisect_left(range(most), True, key=lambda count: short(count + 1))


def grouped(demands: Iterable[Demand]) -> dict[Routes, int]:
    """Slots asked by those with the same routes."""
    asked: dict[Routes, int] = defaultdict(int)
    for demand in demands:
        asked[demand.routes] += demand.slots
    return asked


def require_optimum(network: Network, demands: Sequence[Demand], bound: float) -> None:
    """`Differ` unless the linear program, written and solved once more by scipy's interior point method, ends there."""
    asked, room = grouped(demands), network.room()
    rows = {name: row for row, name in enumerate([*room, *asked])}
    columns = [[rows[routes], *(rows[fibre] for fibre in route)] for routes in asked for route in routes]
    index = [(row, column) for column, members in enumerate(columns) for row in members]
    matrix = coo_matrix((np.ones(len(index)), np.array(index).T), shape=(len(rows), len(columns)))
    limits = [*room.values(), *asked.values()]
    solved = linprog(-np.ones(len(columns)), A_ub=matrix.tocsr(), b_ub=limits, method="highs-ipm")
    if not solved.success or abs(-solved.fun - bound) > TOLERANCE * bound:
        raise Differ(f"the bound is {bound}, scipy says {-solved.fun}: {solved.message}")


def allocated(ledger: Ledger, placements: Placements) -> Ledger:
    """Every slice of a plan taken in the ledger, one after the other; it refuses what is held by another."""
    for name, hops in placements.items():
        ledger = ledger.change(frozenset(), frozenset(slice_claims(name, hops)))
    return ledger


def recount(network: Network, demands: Sequence[Demand], placements: Placements, after: Ledger) -> int:
    """Slots carried, counted from the placements alone. `Differ` where anything is held twice or is not as asked, where
    the ledger says otherwise, or where servers share a slot of their line.
    """
    asked, taken = {demand.name: demand for demand in demands}, defaultdict(set)
    for name, hops in placements.items():
        if tuple(hop.link for hop in hops) not in asked[name].routes:
            raise Differ(f"{name} is on no route of its own")
        for hop in hops:
            numbers, held = set(parse_slots(hop.slots)), taken[hop.link, hop.server]
            if len(numbers) != asked[name].slots or numbers & held:
                raise Differ(f"{name} has not {asked[name].slots} slots of its own in {hop.server} of {hop.link}")
            held |= numbers
    for (link, server), numbers in taken.items():
        bitmap = sum(1 << number - 1 for number in numbers)
        if any(after.row(RowKey(link, server, way)).bitmap != bitmap for way in DIRECTIONS):
            raise Differ(f"the ledger says otherwise of {server} of {link}")
    require_lines(network, {where for where in taken if ":" in where[1]})
    return sum(asked[name].slots for name in placements)


def require_lines(network: Network, opened: Iterable[tuple[str, str]]) -> None:
    """Servers that were opened have slots of the line that nothing else has; their names say which."""
    taken: dict[str, set[int]] = {}
    for link, server in opened:
        row = network.ledger.row(RowKey(link, LINE, 0))
        held = taken.setdefault(link, {slot for slot in range(1, row.capacity + 1) if row.bitmap >> slot - 1 & 1})
        slots = set(parse_slots(server.partition(":")[2]))
        if slots & held or max(slots) > row.capacity:
            raise Differ(f"{server} of {link} has slots of the line that others have")
        held |= slots
