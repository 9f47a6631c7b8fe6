"""A customer port: the edge of the SR domain (RFC 8754 5.1), classification, H.Encaps.Red (RFC 8986 clause 5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from rfc_router.choices import Choices
from rfc_router.octets import BETWEEN_HOSTS, EXTENSIONS, IPV4, IPV6, ROUTING, Ip, Ipv4, Ipv6, Malformed, Srh
from rfc_router.outcome import Drop, Dropped
from rfc_router.tables import Found, Tables

P = TypeVar("P", Ipv4, Ipv6, Ip)
TUNNEL_HOP_LIMIT = 64
LINK_LOCAL4 = 0xA9FE
GREEN, YELLOW, RED = 0, 1, 2
FREE_LABEL = bytes([0, 0x0F, 0xFF, 0xFF])
"""The Flow Label's bits in an IPv6 header: of a tunnel's a hash of the flow that nobody may rely on (RFC 6437)."""


@dataclass(frozen=True)
class Tunnelled:
    """A customer's packet in its tunnel."""

    packet: Ipv6
    next_hop: int
    corridor: int


def admit(packet: Ip, tables: Tables, choices: Choices) -> None:
    """What may enter the SR domain at all. Raises `Dropped`."""
    if isinstance(packet, Ipv4):
        if packet.options:
            raise Dropped(Drop.OPTIONS)  # RFC 7126: refused at the edge
        if not packet.is_intact:
            raise Dropped(Drop.MALFORMED)  # RFC 1812 5.2.2
        if _is_ipv4_martian(packet):
            raise Dropped(Drop.MARTIAN)
        return
    if tables.find("edge_filter", dst=packet.destination) or _hides_routing_header(packet, choices):
        raise Dropped(Drop.EDGE)
    if _is_ipv6_martian(packet):
        raise Dropped(Drop.MARTIAN)


def _hides_routing_header(packet: Ipv6, choices: Choices) -> bool:
    """RFC 8754 5.1, RFC 8200 4.1. Where a chain cannot be read to its end, it counts as hiding one."""
    kinds = [packet.next_header]
    try:
        for each in packet.extensions():
            if each.kind in BETWEEN_HOSTS and not choices.knows_headers_of_hosts:
                break
            if not each.is_later_fragment or not choices.reads_chains:  # where it says what the first begins with
                kinds.append(each.next_header)
    except Malformed:
        return True
    chain = [kind for kind in kinds if kind in EXTENSIONS]
    return ROUTING in chain or (len(chain) > 1 and not choices.reads_chains)


def _is_ipv6_martian(packet: Ipv6) -> bool:
    """RFC 4291: multicast sources and loopback (2.7, 2.5.3), the unspecified address (2.5.2), link-local scope (2.5.6);
    multicast is not routed here."""
    ends = packet.source, packet.destination
    return any(each >> 120 == 0xFF or each >> 118 == 0x3FA or each <= 1 for each in ends)


def _is_ipv4_martian(packet: Ipv4) -> bool:
    """RFC 1812 5.3.7 and 4.2.2.11: no multicast, no reserved, no loopback, no "this network"; RFC 3927 7: no scope of
    the link."""
    ends = packet.source, packet.destination
    return any(each >> 28 >= 0xE or each >> 24 in (0, 127) or each >> 16 == LINK_LOCAL4 for each in ends)


def classify(packet: Ip, vrf: int, tables: Tables) -> Found | None:
    """The corridor that the packet rides, if any."""
    table = "classifier_v6" if isinstance(packet, Ipv6) else "classifier_v4"
    fields = {"src": packet.source, "dst": packet.destination, "dscp": packet.traffic_class >> 2}
    return tables.find(table, vrf=vrf, **fields)


def encapsulate(packet: Ip, corridor: Found, color: int, tables: Tables, choices: Choices) -> Tunnelled:
    """The packet in the corridor's tunnel. Raises `Dropped`."""
    source, policy = tables.find("tunnel_source"), tables.find("policy", policy=corridor["policy"])
    if source is None or policy is None or not source["addr"]:
        raise Dropped(Drop.NO_POLICY)
    carriers = [value for name, value in policy.params.items() if name.startswith("carrier")]
    if choices.entering_is_a_hop:
        packet = packet.one_hop_less()
    inner, next_header = packet.octets(), IPV6 if isinstance(packet, Ipv6) else IPV4
    if len(carriers) > 1:
        # RFC 8754 4.1.1: the first segment stands in the destination only, the others last one first.
        listed = tuple(reversed(carriers[1:]))
        srh = Srh(next_header, len(listed), len(listed) - 1, 0, 0, listed)
        inner, next_header = srh.octets() + inner, ROUTING
    outer = Ipv6(
        _marked(_outer_class(packet, choices), corridor["corridor"], color, tables),
        0,
        next_header,
        packet.hop_limit if isinstance(packet, Ipv6) and choices.copies_hop_limit else TUNNEL_HOP_LIMIT,
        source["addr"],
        carriers[0],
        inner,
    )
    if not choices.entering_is_a_hop:
        outer = lowered(outer)
    return Tunnelled(outer, policy["next_hop"], corridor["corridor"])


def lowered(packet: P) -> P:
    """A router that forwards takes one off, and forwards none with one left (RFC 8200 clause 3, RFC 1812 5.3.1)."""
    if packet.hop_limit <= 1:
        raise Dropped(Drop.HOP_LIMIT)
    return packet.one_hop_less()


def _outer_class(packet: Ip, choices: Choices) -> int:
    return packet.traffic_class if isinstance(packet, Ipv6) or choices.copies_ipv4_class else 0


def _marked(traffic_class: int, corridor: int, color: int, tables: Tables) -> int:
    """By the meter's color (RFC 2698): marked, dropped or as it is; red is dropped without a policy."""
    policy = tables.find("color_policy", corridor=corridor, color=color)
    if policy is None:
        if color == RED:
            raise Dropped(Drop.COLOR)
        return traffic_class
    if policy.action == "drop_colored":
        raise Dropped(Drop.COLOR)
    return policy["dscp"] << 2 | traffic_class & 3
