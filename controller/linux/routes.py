"""Routes by VRF. VRF 0, the underlay, is the main table; the others hold attached customer prefixes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controller.core.entries import TableEntry
from controller.linux.kernel import GONE, Command, Json, Tool
from controller.linux.marks import (
    MAIN_TABLE,
    PROTOCOL,
    group_id,
    of_group_id,
    of_synthetic_v4,
    of_synthetic_v6,
    table_vrf,
    vrf_table,
)
from controller.linux.room import Entries, Step, Work, exact, lpm_match, param, prefix
from controller.linux.view import View, table_of

RANK = 20


class Routes:
    tables = frozenset({"route_v6", "route_v4"})

    def read(self, view: View) -> Iterator[TableEntry]:
        for table, bits, dump in (("route_v6", 128, view.ipv6), ("route_v4", 32, view.ipv4)):
            for route in dump.routes:
                entry = _entry(table, bits, route)
                if entry is not None:
                    yield entry

    def check(self, entry: TableEntry, view: View) -> None:
        """Every route of the contract can be realised."""

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        return Work(commands=[_command(step) for step in steps])


def _entry(table: str, bits: int, route: Json) -> TableEntry | None:
    vrf = table_vrf(table_of(route))
    synthetic = of_synthetic_v6(route["dst"]) if bits == 128 else of_synthetic_v4(route["dst"])
    if vrf is None or (vrf == 0 and synthetic is not None):
        return None
    match = lpm_match(route["dst"], vrf=vrf)
    if route.get("type") == "blackhole":
        return TableEntry(table, match, "drop_route")
    if "nhid" not in route:
        return None
    group = of_group_id(route["nhid"])
    if group is not None:
        return TableEntry(table, match, "set_next_hop_group", (("group", group),))
    return TableEntry(table, match, "set_next_hop", (("next_hop", route["nhid"]),))


def _command(step: Step) -> Command:
    entry = step.new or step.old
    assert entry is not None
    bits, tool = (128, Tool.IP6) if entry.table == "route_v6" else (32, Tool.IP4)
    table = vrf_table(exact(entry, "vrf"))
    where = f"{prefix(entry, 'dst', bits)} table {table} proto {PROTOCOL}"
    if step.new is None:
        kind = "blackhole " if entry.action == "drop_route" else ""
        return Command(tool, f"route del {kind}{where}", step.key, RANK, removes=True, tolerates=GONE)
    # In the main table others may have routes: `add` fails on theirs, `replace` would take them over.
    verb = "add" if step.old is None and table == MAIN_TABLE else "replace"
    if entry.action == "drop_route":
        return Command(tool, f"route {verb} blackhole {where}", step.key, RANK)
    grouped = entry.action == "set_next_hop_group"
    way = group_id(param(entry, "group")) if grouped else param(entry, "next_hop")
    return Command(tool, f"route {verb} {where} nhid {way}", step.key, RANK)
