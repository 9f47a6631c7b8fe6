"""One node: what a frame that arrives at a port becomes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from controller.core.entries import Entry
from rfc_router.answers import echo_reply, error
from rfc_router.choices import Choices
from rfc_router.endpoint import Onward, process, taken_apart
from rfc_router.headend import FREE_LABEL, GREEN, admit, classify, encapsulate, lowered
from rfc_router.octets import ETHERNET_OCTETS, MAC_OCTETS, UDP, Ip, Ipv4, Ipv6, Malformed
from rfc_router.outcome import Drop, Dropped, Outcome, Sent
from rfc_router.tables import Found, Tables

IPV4_TYPE, IPV6_TYPE, LLDP_TYPE = 0x0800, 0x86DD, 0x88CC
STAMP_PORT = 862
NOBODY = Found("", {"ipv4": 0, "ipv6": 0})
"""The gateway of a port without one."""

Counted: TypeAlias = tuple[tuple[str, int], ...]


class Router:
    """A node with its entries. `ports_up` is what next hop groups watch; `None`: all ports are up."""

    def __init__(self, entries: Iterable[Entry], choices: Choices, ports_up: Iterable[int] | None = None) -> None:
        self._tables = Tables(entries)
        self._choices = choices
        self._ports_up = ports_up

    def receive(self, port: int, frame: bytes, color: int = GREEN) -> Outcome:
        """What becomes of a frame; `color` is what the corridor's meter would say of it (RFC 2698)."""
        counted: list[tuple[str, int]] = []
        try:
            return self._receive(port, frame, color, counted)
        except Dropped as dropped:
            return Outcome(dropped=dropped.reason, counted=tuple(counted))
        except Malformed:
            return Outcome(dropped=Drop.MALFORMED, counted=tuple(counted))

    def _receive(self, port: int, frame: bytes, color: int, counted: list[tuple[str, int]]) -> Outcome:
        if len(frame) < ETHERNET_OCTETS:
            raise Dropped(Drop.NO_ROLE)
        destination, kind = int.from_bytes(frame[:MAC_OCTETS], "big"), int.from_bytes(frame[12:14], "big")
        if kind == LLDP_TYPE:
            return Outcome(punted=frame)
        role = self._tables.find("port_role", port=port)
        if role is None:
            raise Dropped(Drop.NO_ROLE)
        if destination != role["mac"]:
            raise Dropped(Drop.NOT_FOR_US)
        packet = self._read(kind, frame[ETHERNET_OCTETS:])
        if role.action == "customer":
            return self._at_gateway(port, frame, packet, role, color, counted)
        return self._from_network(packet, role, frame)

    def _read(self, kind: int, octets: bytes) -> Ip:
        if kind == IPV6_TYPE:
            packet = Ipv6.read(octets)
            if self._choices.parses_ahead:
                taken_apart(packet, self._choices)
            return packet
        if kind == IPV4_TYPE:
            return Ipv4.read(octets)
        raise Dropped(Drop.NOT_IP)

    # ---- the two kinds of port

    def _at_gateway(
        self, port: int, frame: bytes, packet: Ip, role: Found, color: int, counted: list[tuple[str, int]]
    ) -> Outcome:
        """A customer port, by whose gateway the router answers to echo requests and tells of errors."""
        gateway = self._tables.find("gateway", port=port) or NOBODY
        sender = int.from_bytes(frame[MAC_OCTETS : 2 * MAC_OCTETS], "big")
        own = gateway["ipv6"] if isinstance(packet, Ipv6) else gateway["ipv4"]
        if own and packet.destination == own:
            if (reply := echo_reply(packet, self._choices)) is None:
                raise Dropped(Drop.TO_NODE)
            return Outcome((Sent(port, self._ethernet(sender, role["mac"], reply)),))
        try:
            return self._from_customer(packet, role, color, counted)
        except Dropped as dropped:
            told = dropped.reason in (Drop.TOO_BIG, Drop.HOP_LIMIT)
            message = error(packet, dropped.reason, gateway, dropped.mtu, self._choices) if told else None
            if message is None:
                raise
            sent = Sent(port, self._ethernet(sender, role["mac"], message))
            return Outcome((sent,), dropped=dropped.reason, counted=tuple(counted))

    def _from_customer(self, packet: Ip, role: Found, color: int, counted: list[tuple[str, int]]) -> Outcome:
        admit(packet, self._tables, self._choices)
        forwarded = lowered(packet)  # before all else (RFC 1812 clause 5.2.1)
        corridor = classify(packet, role["vrf"], self._tables)
        if corridor is None:
            return self._route(forwarded, role["vrf"], role)
        if packet.length > corridor["mtu"]:
            counted.append(("oversize_counter", corridor["corridor"]))
            raise Dropped(Drop.TOO_BIG, corridor["mtu"])
        tunnelled = encapsulate(packet, corridor, color, self._tables, self._choices)
        counted.append(("corridor_counter", corridor["corridor"]))
        return self._leave(tunnelled.packet, [tunnelled.next_hop], role, FREE_LABEL, tuple(counted))

    def _from_network(self, packet: Ip, role: Found, frame: bytes) -> Outcome:
        if isinstance(packet, Ipv4):
            raise Dropped(Drop.NOT_IP)  # the core is IPv6
        if self._tables.find("node_address", dst=packet.destination):
            return self._to_node(packet, role, frame)
        counted = False
        for _ in range(self._choices.passes):
            sid = self._tables.find("local_sid", dst=packet.destination)
            if sid is None:
                break
            onward = self._processed(packet, sid)
            if not onward.again:
                return self._behind(onward, role)
            assert isinstance(onward.packet, Ipv6)
            packet, counted = onward.packet, self._choices.hop_per_pass
        return self._route(packet if counted else lowered(packet), 0, role)

    def _processed(self, packet: Ipv6, sid: Found) -> Onward:
        if self._choices.hop_per_pass:
            return process(packet, sid, self._choices)
        onward = process(replace(packet, hop_limit=packet.hop_limit + 2), sid, self._choices)
        if onward.uncovered:
            return onward
        assert isinstance(onward.packet, Ipv6)
        return replace(onward, packet=replace(onward.packet, hop_limit=packet.hop_limit))

    def _behind(self, onward: Onward, role: Found) -> Outcome:
        """Handed over by a segment; an uncovered packet is forwarded like any other, so that it loses a hop here."""
        counted = self._choices.hop_per_pass and not onward.uncovered
        packet = onward.packet if counted else lowered(onward.packet)
        if onward.next_hop is None:
            return self._route(packet, onward.vrf, role)
        return self._leave(packet, [onward.next_hop], role)

    def _to_node(self, packet: Ipv6, role: Found, frame: bytes) -> Outcome:
        """RFC 4443 clause 4.2 (echo), RFC 8762 (STAMP, whose reflector is the controller's)."""
        protocol, octets = packet.upper_layer()
        if protocol == UDP and octets[2:4] == STAMP_PORT.to_bytes(2, "big"):
            return Outcome(punted=frame)
        if (reply := echo_reply(packet, self._choices)) is None:
            raise Dropped(Drop.TO_NODE)
        return self._route(reply, 0, role, FREE_LABEL)  # its own flow, and its own label (RFC 6437)

    # ---- out

    def _route(self, packet: Ip, vrf: int, role: Found, free: bytes = b"") -> Outcome:
        table = "route_v6" if isinstance(packet, Ipv6) else "route_v4"
        found = self._tables.find(table, vrf=vrf, dst=packet.destination)
        if found is None or found.action == "drop_route":
            raise Dropped(Drop.NO_ROUTE)
        if found.action == "set_next_hop":
            return self._leave(packet, [found["next_hop"]], role, free)
        members = self._tables.members("next_hop_group", found["group"], self._ports_up)
        return self._leave(packet, [each["next_hop"] for each in members], role, free)

    def _leave(
        self, packet: Ip, next_hops: list[int], role: Found, free: bytes = b"", counted: Counted = ()
    ) -> Outcome:
        hops = [hop for number in next_hops if (hop := self._tables.find("next_hop", next_hop=number))]
        if not hops:
            raise Dropped(Drop.NO_NEXT_HOP)
        mask = bytes(ETHERNET_OCTETS) + free if free else b""
        sent = tuple(Sent(hop["port"], self._frame(packet, hop, role), mask) for hop in hops)
        return Outcome(sent, counted=counted)

    def _frame(self, packet: Ip, hop: Found, role: Found) -> bytes:
        if hop.action == "to_adjacency":
            return self._ethernet(hop["dst_mac"], hop["src_mac"], packet)
        table = "host_v6" if isinstance(packet, Ipv6) else "host_v4"
        host = self._tables.find(table, port=hop["port"], addr=packet.destination)
        if host is None:
            raise Dropped(Drop.NO_HOST)
        departure = self._tables.find("port_role", port=hop["port"])
        own = departure if departure and self._choices.source_mac_of_departure else role
        return self._ethernet(host["mac"], own["mac"], packet)

    def _ethernet(self, destination: int, source: int, packet: Ip) -> bytes:
        kind = IPV6_TYPE if isinstance(packet, Ipv6) else IPV4_TYPE
        macs = destination.to_bytes(MAC_OCTETS, "big") + source.to_bytes(MAC_OCTETS, "big")
        return macs + kind.to_bytes(2, "big") + packet.octets()  # what the link padded a frame with stays on it
