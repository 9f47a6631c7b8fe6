"""Walk a packet through rendered tables, device by device, as the standards say that each of them forwards.

Written from the pipeline's contract (tables and actions of `p4/corridor.p4`), RFC 8986 (End, End.X, End.DT4/6,
H.Encaps.Red), RFC 9800 4.1 (NEXT-C-SID: 32-bit block, 16-bit ids) and what an OTN node does with a channel. It shares
no code with the renderer: it reads entries, as a device would, and knows the wiring only as (device, port) pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import ip_address
from typing import TypeAlias

from controller.core.entries import (
    SELECTOR,
    CrossConnect,
    Entry,
    Exact,
    Lpm,
    MeterEntry,
    ProtectionGroup,
    SliceMeter,
    SlotAssignment,
    TableEntry,
    Ternary,
)

Tables: TypeAlias = Mapping[str, Iterable[Entry]]
Place: TypeAlias = tuple[str, int]
"""Device and port."""

HOP_LIMIT = 64
IPV6, IPV4 = 6, 4
BLOCK_BITS, ID_BITS = 32, 16


class Lost(Exception):
    """The packet went no further, and why."""


@dataclass(frozen=True)
class Packet:
    """A customer's packet: addresses as text, total IP length in bytes."""

    source: str
    destination: str
    dscp: int = 0
    length: int = 100
    routing_header: bool = False

    @property
    def family(self) -> int:
        return ip_address(self.destination).version


@dataclass(frozen=True)
class Outer:
    """The outer IPv6 header and its SRH: `segments` in the SRH's own order, last one first."""

    source: int
    destination: int
    inner: Packet
    segments: tuple[int, ...] = ()
    segments_left: int = 0


@dataclass(frozen=True)
class Frame:
    """What is on a wire: destination MAC, and a customer's packet or an encapsulated one."""

    mac: int
    payload: Packet | Outer


@dataclass
class Journey:
    """Where a packet went. `answer` is set where the ingress sent an ICMP error with that MTU instead."""

    delivered: tuple[str, int, int] | None = None
    """Router, customer port, and the VRF it was looked up in."""
    answer: int | None = None
    corridor: int = 0
    shaper: MeterEntry | None = None
    outer: Outer | None = None
    """As it left the headend."""
    fibres: list[str] = field(default_factory=list)
    routers: list[str] = field(default_factory=list)
    channels: list[tuple[int, int]] = field(default_factory=list)
    """(slice id, direction) of each channel it rode, once per slice."""
    meters: list[tuple[str, SliceMeter]] = field(default_factory=list)
    slots: list[SlotAssignment] = field(default_factory=list)
    home: str = ""
    """Where a probe came back to: the router whose own address it was sent to."""


class World:
    """All devices with their entries, and the wires between them."""

    def __init__(self, tables: Tables, wires: Iterable[tuple[str, Place, Place]]) -> None:
        self.on_protection: set[int] = set()
        """Working slices whose frames both line cards send over the protection slice."""
        self.cut: set[str] = set()
        """Fibres that carry nothing."""
        self.down: set[tuple[str, int]] = set()
        """(router, session): what the router's probes found, by which it switches its policies."""
        self._devices = {name: Device(tuple(entries)) for name, entries in tables.items()}
        self._wires: dict[Place, tuple[str, Place]] = {}
        for name, a, z in wires:
            assert not {a, z} & self._wires.keys(), f"two wires in one port of {name}"
            self._wires[a], self._wires[z] = (name, z), (name, a)

    def send(self, router: str, port: int, packet: Packet, mac: int | None = None) -> Journey:
        """A customer's host sends a packet, to its gateway's MAC unless another is given. Raises `Lost`."""
        journey = Journey()
        role = self._devices[router].one("port_role", port=port)
        if role.action != "customer":
            raise Lost(f"port {port} of {router} is no customer's")
        frame = Frame(role.param("mac") if mac is None else mac, packet)
        at = router, port
        for _ in range(4 * HOP_LIMIT):
            step = self._router if self._devices[at[0]].is_router else self._otn_node
            sent = step(at, frame, journey)
            if sent is None:
                return journey
            at, frame = self._cross(*sent, journey)
        raise Lost("it goes round and round")

    def probe(self, router: str, session: int) -> Journey:
        """A router sends a probe around the path that a session watches. Raises `Lost`."""
        journey = Journey()
        found = self._devices[router].one("path_probe", session=session)
        carriers = [found.param(f"carrier{i}") for i in range(1, int(found.action.removeprefix("probe_")) + 1)]
        rest = tuple(reversed(carriers[1:]))
        outer = Outer(carriers[-1], carriers[0], Packet("::", "::"), rest, len(rest))
        sent = self._next_hop(router, found.param("next_hop"), outer, journey, 0)
        for _ in range(4 * HOP_LIMIT):
            assert sent is not None
            at, frame = self._cross(*sent, journey)
            sent = (self._router if self._devices[at[0]].is_router else self._otn_node)(at, frame, journey)
            if journey.home:
                return journey
        raise Lost("it goes round and round")

    def _cross(self, out: Place, frame: Frame, journey: Journey) -> tuple[Place, Frame]:
        if out not in self._wires:
            raise Lost(f"no wire at port {out[1]} of {out[0]}")
        name, arrival = self._wires[out]
        if name in self.cut:
            raise Lost(f"{name} is cut")
        if not self._devices[out[0]].is_router and not self._devices[arrival[0]].is_router:
            journey.fibres.append(name)
        return arrival, frame

    def _otn_node(self, at: Place, frame: Frame, journey: Journey) -> tuple[Place, Frame]:
        node = self._devices[at[0]]
        matching = [c for c in node.cross_connects if (c.in_port, c.channel) == (at[1], frame.mac)]
        if len(matching) != 1:
            raise Lost(f"{len(matching)} cross-connects for {frame.mac:012x} in port {at[1]} of {at[0]}")
        (found,) = matching
        channel = found.slice_id, found.direction
        if not journey.channels or journey.channels[-1] != channel:
            journey.channels.append(channel)
        meter = [m for m in node.meters if (m.slice_id, m.direction) == channel]
        if len(meter) != 1:
            raise Lost(f"no meter for slice {channel} at {at[0]}")
        journey.meters.append((at[0], meter[0]))
        if found.out_port == SELECTOR:
            return self._selector(at[0], found, frame, journey)
        journey.slots += node.slots_at(found.slice_id, at[1], found.out_port)
        return (at[0], found.out_port), frame if found.rewrite is None else replace(frame, mac=found.rewrite)

    def _selector(self, name: str, found: CrossConnect, frame: Frame, journey: Journey) -> tuple[Place, Frame]:
        """What the line card at the end of a protected slice does with its frames."""
        node = self._devices[name]
        (group,) = (g for g in node.groups if g.working == found.slice_id)
        assert group.direction == found.direction, "the selector stands where its direction begins"
        taken, port = group.working, group.working_port
        if group.working in self.on_protection:
            taken, port = group.protection, group.protection_port
            frame = replace(frame, mac=0x02 << 40 | taken << 8 | group.direction)
        journey.slots += node.slots_at(taken, port)
        return (name, port), frame

    def _router(self, at: Place, frame: Frame, journey: Journey) -> tuple[Place, Frame] | None:
        name, port = at
        node = self._devices[name]
        role = node.one("port_role", port=port)
        if frame.mac != role.param("mac"):
            raise Lost(f"{frame.mac:012x} is not the MAC of port {port} of {name}")
        journey.routers.append(name)
        if role.action == "customer":
            assert isinstance(frame.payload, Packet)
            return self._customer(name, role.param("vrf"), frame.payload, journey)
        if not isinstance(frame.payload, Outer):
            raise Lost(f"no encapsulation on the network port of {name}")
        return self._segment(name, frame.payload, journey)

    def _customer(self, name: str, vrf: int, packet: Packet, journey: Journey) -> tuple[Place, Frame] | None:
        node = self._devices[name]
        if packet.routing_header:
            raise Lost("a customer may not bring a routing header")
        if packet.family == IPV6 and node.longest("edge_filter", int(ip_address(packet.destination))):
            raise Lost("a customer may not reach the infrastructure")
        found = node.classify(vrf, packet)
        if found is None:
            return self._route(name, vrf, packet, journey)
        if packet.length > found.param("mtu"):
            journey.answer = found.param("mtu")
            return None
        journey.corridor = found.param("corridor")
        journey.shaper = node.cell("slice_meter", journey.corridor)
        policy = node.one("policy", policy=self._switched(name, found.param("policy")))
        source = node.one("tunnel_source").param("addr")
        journey.outer = _encapsulate(policy, source, packet)
        return self._next_hop(name, policy.param("next_hop"), journey.outer, journey, vrf)

    def _switched(self, name: str, policy: int) -> int:
        """The policy that a router's traffic takes: the backup while its session alone is up."""
        for row in self._devices[name].all("policy_backup"):
            if row.match["policy"] == Exact(policy):
                first, other = (name, row.param("session")), (name, row.param("backup_session"))
                for session in (first, other):
                    self._devices[name].one("path_probe", session=session[1])
                self._devices[name].one("policy", policy=row.param("backup"))
                return row.param("backup") if first in self.down and other not in self.down else policy
        return policy

    def _route(self, name: str, vrf: int, packet: Packet, journey: Journey) -> tuple[Place, Frame] | None:
        table = "route_v6" if packet.family == IPV6 else "route_v4"
        route = self._devices[name].longest(table, int(ip_address(packet.destination)), vrf=vrf)
        if route is None or route.action == "drop_route":
            raise Lost(f"no route in VRF {vrf} of {name}")
        return self._next_hop(name, route.param("next_hop"), packet, journey, vrf)

    def _segment(self, name: str, outer: Outer, journey: Journey) -> tuple[Place, Frame] | None:
        """Local SIDs, again after each shift, then the underlay's routes."""
        node = self._devices[name]
        for _ in range(HOP_LIMIT):
            if node.has("node_address", dst=outer.destination):
                if outer.segments_left:
                    raise Lost("the own address before the list ends")
                journey.home = name
                return None
            sid = node.longest("local_sid", outer.destination)
            if sid is None:
                break
            match sid.action:
                case "u_n":
                    outer = _advance(outer, consumed=1)
                case "u_a":
                    return self._next_hop(name, sid.param("next_hop"), _advance(outer, consumed=2), journey, 0)
                case "u_dt6" | "u_dt4":
                    return self._decapsulate(name, sid, outer, journey)
                case other:
                    raise Lost(f"{other} is not part of a corridor")
        route = node.longest("route_v6", outer.destination, vrf=0)
        if route is None:
            raise Lost(f"{name} has no route to {ip_address(outer.destination)}")
        return self._next_hop(name, route.param("next_hop"), outer, journey, 0)

    def _decapsulate(self, name: str, sid: Row, outer: Outer, journey: Journey) -> tuple[Place, Frame] | None:
        if outer.segments_left:
            raise Lost("decapsulation with segments left (RFC 8986 4.6)")
        if _argument(outer.destination, 2):
            raise Lost("ids after the last one")
        if outer.inner.family != (IPV6 if sid.action == "u_dt6" else IPV4):
            raise Lost(f"{sid.action} met the other family")
        return self._route(name, sid.param("vrf"), outer.inner, journey)

    def _next_hop(
        self, name: str, number: int, payload: Packet | Outer, journey: Journey, vrf: int
    ) -> tuple[Place, Frame] | None:
        hop = self._devices[name].one("next_hop", next_hop=number)
        if hop.action == "to_customer":
            assert isinstance(payload, Packet), "only what was decapsulated leaves to a customer"
            journey.delivered = name, hop.param("port"), vrf
            return None
        if not isinstance(payload, Outer):
            raise Lost("a bare customer packet may not enter the network")
        return (name, hop.param("port")), Frame(hop.param("dst_mac"), payload)


def _encapsulate(policy: Row, source: int, packet: Packet) -> Outer:
    """H.Encaps.Red (RFC 8986 5.2): the first carrier only in the destination, the others in an SRH, last one first."""
    count = int(policy.action.removeprefix("encap_red_"))
    carriers = [policy.param(f"carrier{i}") for i in range(1, count + 1)]
    rest = tuple(reversed(carriers[1:]))
    return Outer(source, carriers[0], packet, rest, len(rest))


def _argument(address: int, consumed: int) -> int:
    return address & (1 << 128 - BLOCK_BITS - consumed * ID_BITS) - 1


def _advance(outer: Outer, consumed: int) -> Outer:
    """RFC 9800 4.1.1: shift the argument up; where it is empty, the next segment of the SRH (RFC 8754 4.3.1.1)."""
    argument = _argument(outer.destination, consumed)
    if argument:
        block = outer.destination >> 128 - BLOCK_BITS << 128 - BLOCK_BITS
        return replace(outer, destination=block | argument << consumed * ID_BITS)
    if not outer.segments_left:
        raise Lost("the list ends before a decapsulation")
    left = outer.segments_left - 1
    return replace(outer, destination=outer.segments[left], segments_left=left)


@dataclass(frozen=True)
class Row:
    """A table entry with its fields by name."""

    entry: TableEntry

    @property
    def action(self) -> str:
        return self.entry.action

    @cached_property
    def match(self) -> dict[str, Exact | Lpm | Ternary]:
        return dict(self.entry.match)

    def param(self, name: str) -> int:
        return dict(self.entry.params)[name]


class Device:
    """One device's entries."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        assert len({e.key for e in entries}) == len(entries), "two entries under one key"
        self._tables: dict[str, list[Row]] = {}
        for each in entries:
            if isinstance(each, TableEntry):
                self._tables.setdefault(each.table, []).append(Row(each))
        self._cells = {(e.meter, e.index): e for e in entries if isinstance(e, MeterEntry)}
        self.cross_connects = [e for e in entries if isinstance(e, CrossConnect)]
        self.meters = [e for e in entries if isinstance(e, SliceMeter)]
        self.slots = [e for e in entries if isinstance(e, SlotAssignment)]
        self.groups = [e for e in entries if isinstance(e, ProtectionGroup)]
        self.is_router = bool(self._tables)

    def one(self, table: str, **fields: int) -> Row:
        wanted = {name: Exact(value) for name, value in fields.items()}
        found = [row for row in self._tables.get(table, []) if row.match == wanted]
        if len(found) != 1:
            raise Lost(f"{len(found)} entries in {table} for {fields}")
        return found[0]

    def all(self, table: str) -> list[Row]:
        return self._tables.get(table, [])

    def has(self, table: str, **fields: int) -> bool:
        wanted = {name: Exact(value) for name, value in fields.items()}
        return any(row.match == wanted for row in self.all(table))

    def cell(self, meter: str, index: int) -> MeterEntry:
        if (meter, index) not in self._cells:
            raise Lost(f"{meter}[{index}] is not set: nothing limits the corridor")
        return self._cells[meter, index]

    def longest(self, table: str, address: int, **fields: int) -> Row | None:
        """Longest prefix match on `dst` among the entries whose other fields are `fields`."""
        bits = 32 if table.endswith("v4") else 128
        best, length = None, -1
        for row in self._tables.get(table, []):
            dst = row.match["dst"]
            assert isinstance(dst, Lpm)
            exact = all(row.match[name] == Exact(value) for name, value in fields.items())
            if exact and dst.prefix_len > length and (address ^ dst.value) >> bits - dst.prefix_len == 0:
                best, length = row, dst.prefix_len
        return best

    def classify(self, vrf: int, packet: Packet) -> Row | None:
        """The matching entry of the highest priority; two of one priority would be undefined behaviour in P4."""
        table = "classifier_v6" if packet.family == IPV6 else "classifier_v4"
        header = {
            "src": int(ip_address(packet.source)),
            "dst": int(ip_address(packet.destination)),
            "dscp": packet.dscp,
        }
        found = [row for row in self._tables.get(table, []) if _matches(row, vrf, header)]
        assert all(row.entry.priority > 0 for row in found)
        found.sort(key=lambda row: -row.entry.priority)
        if len(found) > 1 and found[0].entry.priority == found[1].entry.priority:
            raise Lost("two classifier entries of one priority")
        return found[0] if found else None

    def slots_at(self, slice_id: int, *ports: int) -> list[SlotAssignment]:
        """The slots of a slice at the lines it enters and leaves by."""
        return [s for s in self.slots if s.slice_id == slice_id and s.line_port in ports]


def _matches(row: Row, vrf: int, header: Mapping[str, int]) -> bool:
    if row.match["vrf"] != Exact(vrf):
        return False
    for name, value in header.items():
        field_match = row.match.get(name)
        if isinstance(field_match, Ternary) and (value ^ field_match.value) & field_match.mask:
            return False
    return True
