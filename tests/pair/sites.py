"""The two sites of the pair topology, the corridors between them, and traffic while something is done to them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from corridor_lab import between

from topologies.lab import Lab
from topologies.system import end_point
from topologies.traffic import Flow, Load, await_ping

DOMAIN = "pair"
Mix = tuple[str, str]
"""Targets of the western and the eastern router."""
MIXES: tuple[Mix, ...] = (("linux", "linux"), ("bmv2", "bmv2"), ("linux", "bmv2"))
PATIENCE_S = 60.0
LEAST_S = 1.0
"""So long a flow lasts, however quick what is done meanwhile."""
STRAGGLERS_S = 0.5
"""What a sender sent last is on fibres and in switches: milliseconds."""


@dataclass(frozen=True, slots=True)
class Site:
    """A router, its customer's host, and what both are called; IPv4 first, then IPv6."""

    place: str
    node_id: int
    port: str
    prefixes: tuple[str, str]

    @property
    def router(self) -> str:
        return f"{self.place}-r"

    @property
    def host(self) -> str:
        return f"h-{self.place}"

    @property
    def address(self) -> tuple[str, str]:
        return _within(self.prefixes, 2)

    @property
    def gateway(self) -> tuple[str, str]:
        return _within(self.prefixes, 1)

    @property
    def mac(self) -> str:
        """Of the router, on the customer's port, the first after the network port."""
        return f"06:00:00:{self.node_id:02x}:00:02"

    @property
    def node_address(self) -> str:
        return f"fcbb:bb00:{self.node_id:x}::1"

    @property
    def end(self) -> dict[str, Any]:
        return end_point(DOMAIN, self.router, self.port, *self.prefixes)

    def tenant_end(self, tenant: str) -> dict[str, Any]:
        """The same addresses for every tenant, on its own port."""
        return end_point(DOMAIN, self.router, tenant, f"10.9.{self.node_id}.0/24", f"2001:db8:9{self.node_id}::/64")

    @property
    def tenant_address(self) -> tuple[str, str]:
        return f"10.9.{self.node_id}.2", f"2001:db8:9{self.node_id}::2"

    def tenant_host(self, tenant: str) -> str:
        return f"h-{tenant}-{self.place}"


def _within(prefixes: tuple[str, str], host: int) -> tuple[str, str]:
    four, six = (prefix.partition("/")[0] for prefix in prefixes)
    return f"{four.removesuffix('0')}{host}", f"{six}{host}"


WEST = Site("west", 1, "campus", ("10.1.0.0/24", "2001:db8:1::/64"))
EAST = Site("east", 2, "dc", ("10.2.0.0/24", "2001:db8:2::/64"))
WAYS = {"eastward": (WEST, EAST), "westward": (EAST, WEST)}


def body(isolation: str = "HARD", active: str = "", **mbps: float) -> dict[str, Any]:
    """A corridor between the two sites, with these profiles."""
    return between(WEST.end, EAST.end, isolation, active, **mbps)


def tenant_body(tenant: str, isolation: str = "HARD", **mbps: float) -> dict[str, Any]:
    return between(WEST.tenant_end(tenant), EAST.tenant_end(tenant), isolation, "", **mbps)


def met(lab: Lab) -> None:
    """The hosts of the two sites have found each other."""
    for source, sink in WAYS.values():
        for address in sink.address:
            await_ping(lab, source.host, address)


@contextmanager
def both_ways(lab: Lab, kbps: int, ip_bytes: int = 1400) -> Iterator[list[dict[str, Any]]]:
    """A flow in either direction while the block lasts, one of them IPv4; afterwards what became of them."""
    load = Load(kbps, ip_bytes, PATIENCE_S)
    flows = [
        Flow(lab, source.host, sink.host, sink.address[family], load)
        for family, (source, sink) in enumerate(WAYS.values())
    ]
    found: list[dict[str, Any]] = []
    began = time.monotonic()
    yield found
    time.sleep(max(0.0, began + LEAST_S - time.monotonic()))
    found += ended(flows)


def ended(flows: Sequence[Flow]) -> list[dict[str, Any]]:
    """What became of flows that end now. One whose last packet was dropped would be waited for in vain."""
    for each in flows:
        each.stop()
    time.sleep(STRAGGLERS_S)
    for each in flows:
        each.end()
    return [each.result() for each in flows]
