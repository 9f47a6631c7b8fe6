"""Machines that the topology file knows behind a port: all that a router reaches there which resolves no neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from controller.core.distinct import canonical
from controller.core.errors import FailedPrecondition, Violation
from controller.core.model import Corridor, EndPoint
from controller.core.records import Placement
from controller.core.topology import Topology


def require_neighbors(corridor: Corridor, topology: Topology, standing: Placement | None) -> None:
    """Raise `FailedPrecondition` (NO_NEIGHBOR) where a prefix would get nothing, for nobody in it is known.

    The corridor is validated. What it has behind a port already is not asked again: no other change would help that.
    """
    ends = {"a_end": corridor.a_end, "z_end": corridor.z_end}
    stood = (standing.a_end, standing.z_end) if standing else ()
    found = [each for field, end in ends.items() for each in _deserted(field, canonical(end), topology, stood)]
    if found:
        prefixes, ports = zip(*((prefix, f"{end.node}:{end.port}") for _, end, prefix in found), strict=True)
        raise FailedPrecondition(
            "; ".join(f"{field}: {_said(end, prefix)}" for field, end, prefix in found)
            + " (hosts and neighbors of the topology file)",
            reason="NO_NEIGHBOR",
            violations=tuple(Violation(field, _said(end, prefix)) for field, end, prefix in found),
            metadata={"prefixes": ",".join(prefixes), "ports": ",".join(dict.fromkeys(ports))},
        )


def _deserted(
    field: str, end: EndPoint, topology: Topology, stood: tuple[EndPoint, ...]
) -> Iterator[tuple[str, EndPoint, str]]:
    """(field, end, prefix) of each without a known machine, behind a router that finds none by itself."""
    access = topology.access_port(end.node, end.port)
    if access is None or topology.nodes[end.node].capabilities.resolves_neighbors:
        return
    known = [ip_address(neighbor.address) for neighbor in access.neighbors]
    before = [their for their in stood if (their.node, their.port) == (end.node, end.port)]
    for kind in ("ipv4_prefixes", "ipv6_prefixes"):
        for index, prefix in enumerate(getattr(end, kind)):
            there = any(prefix in getattr(their, kind) for their in before)
            if not there and not any(address in ip_network(prefix) for address in known):
                yield f"{field}.{kind}[{index}]", end, prefix


def _said(end: EndPoint, prefix: str) -> str:
    return f"no neighbour in {prefix} is known behind port {end.port} of {end.node}, which resolves none"
