"""Corridors side by side: they may not contradict each other, neither in what they steer nor in what is behind a port.

Checked against all that stands or is being built, so that neither a change under way nor its roll-back meets another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_network

from controller.core import names
from controller.core.errors import Invalid
from controller.core.model import Corridor, EndPoint
from controller.core.records import Record

_Ends = tuple[EndPoint, EndPoint]
_Selector = tuple[str, str, str, int | None]
"""Headend, source prefix, destination prefix, DSCP."""


def canonical(end: EndPoint) -> EndPoint:
    """An end with its prefixes in one spelling, each once; placements hold ends in this form."""
    return replace(end, ipv4_prefixes=_spelled(end.ipv4_prefixes), ipv6_prefixes=_spelled(end.ipv6_prefixes))


def require_distinct(corridor: Corridor, records: Iterable[Record]) -> None:
    """Raise `Invalid` where another record's placement asks for the same traffic or puts a port to another use."""
    tenant, ends = names.tenant_of_corridor(corridor.name), (canonical(corridor.a_end), canonical(corridor.z_end))
    wanted, nodes = _selectors(ends), {end.node for end in ends}
    for other in records:
        if other.name == corridor.name:
            continue
        for placement in other.placements:
            theirs = placement.a_end, placement.z_end
            if nodes.isdisjoint(end.node for end in theirs):
                continue
            if names.tenant_of_corridor(other.name) != tenant:
                _require_own_ports(ends, theirs)
            elif wanted & _selectors(theirs):
                raise Invalid.field("a_end", f"{other.name} already carries this traffic", "SAME_TRAFFIC")
            else:
                _require_one_port(ends, theirs, other.name)


def _require_own_ports(ends: _Ends, theirs: _Ends) -> None:
    """A port is in one VRF. Does not name the other tenant."""
    taken = {(end.node, end.port) for end in theirs}
    for field, end in zip(("a_end", "z_end"), ends, strict=True):
        if (end.node, end.port) in taken:
            raise Invalid.field(f"{field}.port", f"port {end.port} is in use by another tenant", "PORT_IN_USE")


def _require_one_port(ends: _Ends, theirs: _Ends, name: str) -> None:
    """Routes follow the destination alone: at one router a tenant's prefix is behind one port."""
    for field, end in zip(("a_end", "z_end"), ends, strict=True):
        for their in theirs:
            if their.node == end.node and their.port != end.port:
                for prefix in {*_prefixes(end)} & {*_prefixes(their)}:
                    text = f"{prefix} is behind {their.port} for {name}"
                    raise Invalid.field(f"{field}.port", text, "PREFIX_BEHIND_OTHER_PORT")


def _selectors(ends: _Ends) -> frozenset[_Selector]:
    """What is steered at both headends."""
    return frozenset(
        (source.node, a, z, source.dscp)
        for source, sink in (ends, ends[::-1])
        for a in _prefixes(source)
        for z in _prefixes(sink)
    )


def _prefixes(end: EndPoint) -> tuple[str, ...]:
    return end.ipv4_prefixes + end.ipv6_prefixes


def _spelled(prefixes: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(ip_network(prefix)) for prefix in prefixes))
