"""What a topology file says: a domain as planned, and the machines that the lab attaches to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.core.model import Link, LinkKind, Node

FIRST_ACCESS_PORT = 2
"""Router ports: 1 is the client link to its OTN node, then the access ports in the file's order."""
FIRST_LINE_PORT = 2
"""OTN node ports: 1 is the client link to its router, then its fibres in the file's order."""


class Role(StrEnum):
    """What a site is for; also the kind of an access port (`exchange` has none)."""

    COMPUTE = "compute"
    ENTERPRISE = "enterprise"
    MOBILE = "5g-a"
    EXCHANGE = "exchange"


@dataclass(frozen=True, slots=True)
class Site:
    """A place on the map, in degrees."""

    name: str
    title: str
    latitude: float
    longitude: float
    role: Role


@dataclass(frozen=True, slots=True)
class LabHost:
    """A customer's machine, in the lab only. Addresses carry their prefix length; empty: not that family."""

    name: str
    router: str
    """`domains/{domain}/nodes/{node}`."""
    port: str
    """Name of the access port."""
    tenant: str
    ipv4: str
    ipv6: str
    ipv4_gateway: str
    """Without prefix length."""
    ipv6_gateway: str
    mac: str
    """Six hexadecimal octets between colons."""


@dataclass(frozen=True, slots=True)
class TopologyFile:
    """A domain as planned. Nodes: routers, then OTN nodes. Links: fibres, client links, adjacencies."""

    domain: str
    title: str
    srv6_block: str
    sites: tuple[Site, ...]
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    hosts: tuple[LabHost, ...]

    def line_port(self, otn_node: str, fibre: str) -> int:
        """Port number of a fibre at one of its OTN nodes; both are resource names. KeyError where it does not end."""
        ends = (k.name for k in self.links if k.kind is LinkKind.FIBRE and otn_node in (k.a_node, k.z_node))
        return {name: FIRST_LINE_PORT + n for n, name in enumerate(ends)}[fibre]
