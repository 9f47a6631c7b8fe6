"""SR policies (H.Encaps.Red) and the tunnel source.

Table 0x20000|p holds the encapsulation as default route and, because the outer packet keeps the mark and so meets the
same table, the way of the first carrier. A blackhole lies under that way: without it an outer packet whose next hop
has vanished would be encapsulated again, and again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address

from controller.core.entries import Exact, TableEntry
from controller.linux.kernel import GONE, STANDS, Command, FamilyDump, Json, Tool
from controller.linux.marks import (
    POLICY_LIMIT,
    POLICY_MASK,
    POLICY_PREFERENCE,
    PROTOCOL,
    SR_DEVICE,
    policy_table,
    table_policy,
)
from controller.linux.rejected import invalid
from controller.linux.room import Entries, Step, Work, address, exact, param
from controller.linux.view import View, table_of

RANK = 30
_WAY_METRIC, _BLACKHOLE_METRIC = 100, 4096
_EVERYTHING = {Tool.IP6: "::/0", Tool.IP4: "0.0.0.0/0"}


class Policies:
    tables = frozenset({"policy"})

    def read(self, view: View) -> Iterator[TableEntry]:
        ipv4 = {policy: segments for policy, segments, _ in _policies(view.ipv4)}
        for policy, segments, ways in _policies(view.ipv6):
            rule = (POLICY_PREFERENCE, policy, POLICY_MASK, policy_table(policy))
            ruled = rule in view.ipv6.rules and rule in view.ipv4.rules
            next_hop = ways.get(segments[0])
            if not ruled or next_hop is None or ipv4.get(policy) != segments:
                continue
            carriers = tuple((f"carrier{n}", int(IPv6Address(s))) for n, s in enumerate(segments, 1))
            yield TableEntry(
                "policy",
                (("policy", Exact(policy)),),
                f"encap_red_{len(segments)}",
                (("next_hop", next_hop), *carriers),
            )

    def check(self, entry: TableEntry, view: View) -> None:
        if not 0 < exact(entry, "policy") < POLICY_LIMIT:
            raise invalid(f"this target has policies 1..{POLICY_LIMIT - 1}")
        if not all(value for name, value in entry.params if name != "next_hop"):
            raise invalid("a carrier is ::")

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        work = Work()
        for step in steps:
            if step.new is not None:
                work.commands += _add(step, step.new)
            if step.old is not None:
                work.commands += _remove(step, step.old)
        return work


def _carriers(entry: TableEntry) -> list[str]:
    return [address(value, 128) for name, value in entry.params if name != "next_hop"]


def _rule(policy: int) -> str:
    return (
        f"pref {POLICY_PREFERENCE} fwmark {policy:#x}/{POLICY_MASK:#x} "
        f"lookup {policy_table(policy)} protocol {PROTOCOL}"
    )


def _add(step: Step, new: TableEntry) -> Iterator[Command]:
    policy, carriers = exact(new, "policy"), _carriers(new)
    own = f"table {policy_table(policy)} proto {PROTOCOL}"
    way = f"route replace {carriers[0]}/128 nhid {param(new, 'next_hop')} metric {_WAY_METRIC} {own}"
    yield Command(Tool.IP6, way, step.key, RANK)
    yield Command(
        Tool.IP6, f"route replace blackhole {carriers[0]}/128 metric {_BLACKHOLE_METRIC} {own}", step.key, RANK
    )
    for tool, everything in _EVERYTHING.items():
        encapsulation = f"encap seg6 mode encap.red segs {','.join(carriers)} dev {SR_DEVICE}"
        yield Command(tool, f"route replace {everything} {encapsulation} {own}", step.key, RANK + 1)
        yield Command(tool, f"rule add {_rule(policy)}", step.key, RANK + 2, tolerates=STANDS)


def _remove(step: Step, old: TableEntry) -> Iterator[Command]:
    policy, first = exact(old, "policy"), _carriers(old)[0]
    table = f"table {policy_table(policy)}"
    if step.new is None:
        for tool, everything in _EVERYTHING.items():
            rule = f"rule del {_rule(policy)}"
            yield Command(tool, rule, step.key, RANK + 2, removes=True, tolerates=GONE)
            yield Command(tool, f"route del {everything} {table}", step.key, RANK + 1, removes=True, tolerates=GONE)
    if step.new is None or _carriers(step.new)[0] != first:
        for kind, metric in (("", _WAY_METRIC), ("blackhole ", _BLACKHOLE_METRIC)):
            line = f"route del {kind}{first}/128 metric {metric} {table}"
            yield Command(Tool.IP6, line, step.key, RANK, removes=True, tolerates=GONE)


def _policies(dump: FamilyDump) -> Iterator[tuple[int, list[str], dict[str, int]]]:
    """Policy id, segments, and next hop by destination, of each policy table."""
    tables: dict[int, list[Json]] = {}
    for route in dump.routes:
        policy = table_policy(table_of(route))
        if policy is not None:
            tables.setdefault(policy, []).append(route)
    for policy, routes in tables.items():
        ways = {route["dst"]: route["nhid"] for route in routes if "nhid" in route}
        segments = [r["segs"] for r in routes if r["dst"] == "default" and r.get("mode") == "encap.red"]
        if segments:
            yield policy, segments[0], ways


class TunnelSource:
    """The outer source address of the namespace."""

    tables = frozenset({"tunnel_source"})

    def read(self, view: View) -> Iterator[TableEntry]:
        source = int(IPv6Address(view.ipv6.tunnel_source))
        if source:
            yield TableEntry("tunnel_source", (), "set_tunnel_source", (("addr", source),))

    def check(self, entry: TableEntry, view: View) -> None:
        """Any address will do; :: means that the kernel takes one of the outgoing interface."""

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        work = Work()
        for step in steps:
            source = address(param(step.new, "addr"), 128) if step.new else "::"
            work.commands.append(Command(Tool.IP6, f"sr tunsrc set {source}", step.key, RANK))
        return work
