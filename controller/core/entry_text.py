"""Entries of devices in a line each, for people: `policy 17 → encap_red_1(next_hop=3, carrier1=fcbb:bb00::)`."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from controller.core.entries import (
    SELECTOR,
    CrossConnect,
    Entry,
    Exact,
    GroupEntry,
    GroupMember,
    Lpm,
    MatchValue,
    MeterEntry,
    ProtectionGroup,
    SliceMeter,
    SlotAssignment,
    TableEntry,
)

_ADDRESSES = ("addr", "src", "dst", "source", "carrier", "gateway")
"""How fields begin whose values are IP addresses."""
_IPV4_BITS, _IPV6_BITS = 32, 128


def entry_text(entry: Entry) -> str:
    """What the entry is about, an arrow, and its value."""
    match entry:
        case TableEntry():
            called = _call(entry.action, entry.params, entry.table)
            priority = f" priority {entry.priority}" if entry.priority else ""
            return f"{_matched(entry.table, entry.match)}{priority} → {called}"
        case GroupEntry():
            return f"{_matched(entry.table, entry.match)} → {', '.join(_member(each, entry) for each in entry.members)}"
        case MeterEntry():
            return f"{entry.meter} {entry.index} → {_rate(entry)}"
        case CrossConnect():
            return _cross_connect(entry)
        case SliceMeter():
            follows = " to begin with" if entry.follows else ""
            return f"meter of {_way(entry)} → {entry.rate_kbps} kbit/s, burst {entry.burst_kbit} kbit{follows}"
        case SlotAssignment():
            slots = ",".join(map(str, entry.slots))
            return f"slots of slice {entry.slice_id} at port {entry.line_port} → {entry.server} {slots}"
        case ProtectionGroup():
            ports = f"{entry.working_port}, by slice {entry.protection} port {entry.protection_port}"
            return f"protection of slice {entry.working} port {ports}"


def _matched(table: str, match: Iterable[tuple[str, MatchValue]]) -> str:
    named = ((name if name != table else "", _matcher(name, value, table)) for name, value in match)
    fields = " ".join(f"{name}={value}" if name else value for name, value in named)
    return f"{table} {fields or 'default'}"


def _matcher(name: str, value: MatchValue, table: str) -> str:
    match value:
        case Exact():
            return _figure(name, value.value, table)
        case Lpm():
            return f"{_figure(name, value.value, table)}/{value.prefix_len}"
        case _:
            return f"{_figure(name, value.value, table)}&{_figure(name, value.mask, table)}"


def _call(action: str, params: Iterable[tuple[str, int]], table: str) -> str:
    return f"{action}({', '.join(f'{name}={_figure(name, value, table)}' for name, value in params)})"


def _member(member: GroupMember, entry: GroupEntry) -> str:
    watched = f" while port {member.watch_port} is up" if member.watch_port else ""
    return f"{member.weight} × {_call(member.action, member.params, entry.table)}{watched}"


def _figure(name: str, value: int, table: str) -> str:
    """An address where the field holds one, else the number."""
    if name.endswith("mac"):
        return _mac(value)
    if not name.startswith(_ADDRESSES):
        return str(value)
    if table.endswith("_v4") and value.bit_length() <= _IPV4_BITS:
        return str(IPv4Address(value))
    return str(IPv6Address(value)) if value.bit_length() <= _IPV6_BITS else str(value)


def _mac(value: int) -> str:
    return value.to_bytes(6, "big").hex(":") if value.bit_length() <= 48 else str(value)


def _rate(meter: MeterEntry) -> str:
    two = meter.peak_rate or meter.peak_burst
    peak = f", peak {meter.highest_rate}/s burst {meter.peak_burst or meter.burst}" if two else ""
    return f"{meter.rate}/s, burst {meter.burst}{peak}"


def _way(entry: CrossConnect | SliceMeter) -> str:
    return f"slice {entry.slice_id} {'Z to A' if entry.direction else 'A to Z'}"


def _cross_connect(entry: CrossConnect) -> str:
    out = "its selector" if entry.out_port == SELECTOR else f"port {entry.out_port}"
    rewritten = f" as {_mac(entry.rewrite)}" if entry.rewrite is not None else ""
    return f"{_way(entry)} from port {entry.in_port} to {_mac(entry.channel)} → {out}{rewritten}"
