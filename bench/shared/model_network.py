"""A model network to restore: two metropolitan rings with chords, joined by long routes, and corridors over it.

Every site has a router and an OTN node; every fibre an ODU4 line with an IP adjacency of an ODU2 trail beside
room for slices. Most corridors run from one metropolis to the other, and most of these by the shortest of the joining
routes: the cut that hurts.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from controller.core.model import Corridor, EndPoint, Isolation, Profile
from controller.core.records import Record
from controller.topology_file import TopologyFile, loads

DOMAIN = "model"
ACCESS = "dc"
METROPOLES = {"e": (31.0, 121.0), "w": (31.0, 118.5)}
"""Latitude and longitude of their centres."""
HALF_WAY = (31.0, 31.6, 32.4)
"""Latitudes of the sites half-way on the routes that join the two."""
HARD_IN = 4
"""One corridor of so many has slices of its own."""


@dataclass(frozen=True)
class Model:
    """A network and what is asked of it."""

    plan: TopologyFile
    corridors: tuple[tuple[str, Corridor], ...]
    """(id, corridor), in the order of creation."""

    @cached_property
    def _trails(self) -> Mapping[str, tuple[str, ...]]:
        return {link.name: link.trail for link in self.plan.links}

    def fibres(self, record: Record) -> frozenset[str]:
        """Those that a corridor stands on."""
        assert record.target is not None
        return frozenset(fibre for link in record.target.leg.links for fibre in self._trails[link] or (link,))

    def busiest(self, records: Mapping[str, Record]) -> str:
        """The fibre under the most corridors."""
        under: Counter[str] = Counter()
        for record in records.values():
            under.update(self.fibres(record))
        return under.most_common(1)[0][0]


def model(sites: int, corridors: int, seed: int) -> Model:
    """`sites`: of each metropolis."""
    chance = random.Random(seed)
    return Model(loads(_text(sites, chance)), tuple(_corridors(sites, corridors, chance)))


def _places(sites: int, chance: random.Random) -> Iterable[tuple[str, float, float]]:
    """(site, latitude, longitude)."""
    for side, centre in METROPOLES.items():
        for i in range(sites):
            turn, far = 2 * math.pi * i / sites, chance.uniform(0.1, 0.16)
            yield f"{side}{i}", centre[0] + far * math.sin(turn), centre[1] + far * math.cos(turn)
    for i, latitude in enumerate(HALF_WAY):
        yield f"m{i}", latitude, sum(centre[1] for centre in METROPOLES.values()) / 2


def _fibres(sites: int) -> Iterable[tuple[str, str]]:
    for side in METROPOLES:
        for i in range(sites):
            yield f"{side}{i}", f"{side}{(i + 1) % sites}"
        for i in range(0, sites, 3):
            yield f"{side}{i}", f"{side}{(i + sites // 2) % sites}"
    for i in range(len(HALF_WAY)):
        for side in METROPOLES:
            yield f"{side}{i * sites // len(HALF_WAY)}", f"m{i}"


def _text(sites: int, chance: random.Random) -> str:
    places, fibres = list(_places(sites, chance)), list(_fibres(sites))
    lines = [f"domain: {DOMAIN}", "title: A model", 'srv6: {block: "fcbb:bb00::/32"}']
    lines += ["fibre: {us_per_km: 4.9, route_factor: 1.3}", "sites:"]
    lines += [
        f"  - {{name: {s}, title: {s}, latitude: {a:.4f}, longitude: {b:.4f}, role: compute}}" for s, a, b in places
    ]
    lines += ["routers:"]
    for number, (site, *_) in enumerate(places, 1):
        gateways = f'ipv4_gateway: 10.{number}.0.1/24, ipv6_gateway: "2001:db8:{number:x}::1/64"'
        port = f"{{name: {ACCESS}, kind: compute, {gateways}}}"
        lines += [f"  - {{name: {site}-r, site: {site}, node_id: {number}, processing_us: 15, access: [{port}]}}"]
    lines += ["otn_nodes:"]
    for number, (site, *_) in enumerate(places, 1):
        shape = f"site: {site}, router: {site}-r, datapath_id: {0x100 + number}, processing_us: 25"
        lines += [f"  - {{name: {site}-o, {shape}}}"]
    lines += ["fibres:", *(f"  - {{name: F-{a}-{z}, a: {a}-o, z: {z}-o, line: ODU4, servers: []}}" for a, z in fibres)]
    ends = [(f"{a}-{z}", f"a: {a}-r, z: {z}-r") for a, z in fibres]
    lines += ["trails:", *(f"  - {{name: A-{n}, {e}, container: ODU2, fibres: [F-{n}]}}" for n, e in ends)]
    return "\n".join(lines)


def _corridors(sites: int, count: int, chance: random.Random) -> Iterable[tuple[str, Corridor]]:
    for number in range(count):
        across = number % 8 != 0
        a = chance.randrange(sites)
        z = chance.randrange(sites) if across else (a + 1 + chance.randrange(sites - 1)) % sites
        sides = ("e", "w") if across else chance.choice([("e", "e"), ("w", "w")])
        hard = number % HARD_IN == 0
        kbps = chance.choice([2_000, 5_000, 10_000] if hard else [2_000, 5_000, 10_000, 20_000])
        yield (
            f"c{number}",
            Corridor(
                a_end=_end(f"{sides[0]}{a}", number, 0),
                z_end=_end(f"{sides[1]}{z}", number, 1),
                isolation=Isolation.HARD if hard else Isolation.SOFT,
                profiles=(Profile("only", kbps),),
                active_profile="only",
                priority=chance.randrange(8),
            ),
        )


def _end(site: str, number: int, way: int) -> EndPoint:
    four = f"10.{128 + way * 64 + (number >> 8)}.{number & 255}.0/24"
    six = f"2001:db8:{0x1000 + way * 0x4000 + number:x}::/48"
    return EndPoint(f"domains/{DOMAIN}/nodes/{site}-r", ACCESS, (four,), (six,))
