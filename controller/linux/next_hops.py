"""Next hops and hosts: nexthop objects and permanent neighbours.

An adjacency is a synthetic on-link neighbour fdc0:de::ID with the adjacency's MAC, which for a trail or slice is its
channel address. IPv4 uses the same neighbour (RFC 8950), End.X and End.DX4 find it by the synthetic addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from controller.core.addresses import mac_text
from controller.core.entries import Exact, TableEntry
from controller.linux.interfaces import mac_number
from controller.linux.kernel import GONE, Command, Tool
from controller.linux.marks import MAIN_TABLE, PROTOCOL, of_synthetic_v6, synthetic_v4, synthetic_v6
from controller.linux.rejected import invalid
from controller.linux.room import Entries, Step, Work, address, exact, param
from controller.linux.view import View, table_of

RANK = 10


class NextHops:
    tables = frozenset({"next_hop"})

    def read(self, view: View) -> Iterator[TableEntry]:
        macs = {(item["dev"], item["dst"]): mac_number(item["lladdr"]) for item in view.ipv6.neighbours}
        on_link = {(route["dst"], route.get("dev")) for route in view.ipv6.routes if table_of(route) == MAIN_TABLE}
        of_ipv4 = {(route["dst"], route.get("nhid")) for route in view.ipv4.routes if table_of(route) == MAIN_TABLE}
        for item in view.ipv6.next_hops:
            next_hop, device = item["id"], item.get("dev", "")
            number = view.ports.number(device)
            if number is None:
                continue
            match = (("next_hop", Exact(next_hop)),)
            gateway = item.get("gateway")
            if gateway is None:
                yield TableEntry("next_hop", match, "to_customer", (("port", number),))
                continue
            own, mac = view.ports.mac(device), macs.get((device, gateway))
            whole = (gateway, device) in on_link and (synthetic_v4(next_hop), next_hop) in of_ipv4
            if gateway == synthetic_v6(next_hop) and own is not None and mac is not None and whole:
                params = (("port", number), ("src_mac", own), ("dst_mac", mac))
                yield TableEntry("next_hop", match, "to_adjacency", params)

    def check(self, entry: TableEntry, view: View) -> None:
        if not exact(entry, "next_hop"):
            raise invalid("next hop 0 is none")
        if entry.action == "to_adjacency":
            view.ports.require_mac(param(entry, "port"), param(entry, "src_mac"))
        else:
            view.ports.name(param(entry, "port"))

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        standing = {item["id"] for item in view.ipv6.next_hops}
        work = Work()
        for step in steps:
            if step.new is not None:
                work.commands += _add(step, step.new, view, exact(step.new, "next_hop") in standing)
            if step.old is not None:
                work.commands += _remove(step, step.old, view)
        return work


def _add(step: Step, new: TableEntry, view: View, standing: bool) -> Iterator[Command]:
    """`add` where we have none of the number: it fails on a foreign object, which `replace` would take over."""
    number, device = exact(new, "next_hop"), view.ports.name(param(new, "port"))
    verb = "replace" if standing else "add"
    if new.action == "to_customer":
        yield Command(Tool.IP6, f"nexthop {verb} id {number} dev {device} protocol {PROTOCOL}", step.key, RANK + 1)
        return
    via, mac = synthetic_v6(number), mac_text(param(new, "dst_mac"))
    neighbour = f"neigh replace {via} lladdr {mac} dev {device} nud permanent protocol {PROTOCOL}"
    yield Command(Tool.IP6, neighbour, step.key, RANK)
    # For End.X, and first: the kernel refuses a gateway whose route leads to another device.
    yield Command(Tool.IP6, f"route replace {via}/128 dev {device} proto {PROTOCOL}", step.key, RANK)
    object_ = f"nexthop {verb} id {number} via {via} dev {device} onlink protocol {PROTOCOL}"
    yield Command(Tool.IP6, object_, step.key, RANK + 1)
    line = f"route replace {synthetic_v4(number)}/32 nhid {number} proto {PROTOCOL}"
    yield Command(Tool.IP4, line, step.key, RANK + 2)


def _remove(step: Step, old: TableEntry, view: View) -> Iterator[Command]:
    """What the old entry has and the new one lacks."""
    number, device = exact(old, "next_hop"), view.ports.name(param(old, "port"))
    adjacent = step.new is not None and step.new.action == "to_adjacency"
    if old.action == "to_adjacency" and not adjacent:
        for tool, host in ((Tool.IP6, f"{synthetic_v6(number)}/128"), (Tool.IP4, f"{synthetic_v4(number)}/32")):
            line = f"route del {host} proto {PROTOCOL}"
            yield Command(tool, line, step.key, RANK + 2, removes=True, tolerates=GONE)
    if step.new is None:
        yield Command(Tool.IP6, f"nexthop del id {number}", step.key, RANK + 1, removes=True, tolerates=GONE)
    if old.action == "to_adjacency" and not (adjacent and step.new and param(step.new, "port") == param(old, "port")):
        line = f"neigh del {synthetic_v6(number)} dev {device}"
        yield Command(Tool.IP6, line, step.key, RANK, removes=True, tolerates=GONE)


class Hosts:
    """Customer hosts with a given MAC; the kernel resolves all others itself."""

    tables = frozenset({"host_v6", "host_v4"})

    def read(self, view: View) -> Iterator[TableEntry]:
        for table, dump in (("host_v6", view.ipv6), ("host_v4", view.ipv4)):
            for item in dump.neighbours:
                number = view.ports.number(item["dev"])
                if number is None or of_synthetic_v6(item["dst"]) is not None:
                    continue
                match = (("addr", Exact(int(ip_address(item["dst"])))), ("port", Exact(number)))
                yield TableEntry(table, match, "set_dst_mac", (("mac", mac_number(item["lladdr"])),))

    def check(self, entry: TableEntry, view: View) -> None:
        view.ports.name(exact(entry, "port"))
        if of_synthetic_v6(_address(entry)) is not None:
            raise invalid("fdc0:de::/112 is kept for adjacencies")

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        work = Work()
        for step in steps:
            entry = step.new or step.old
            assert entry is not None
            tool = Tool.IP6 if entry.table == "host_v6" else Tool.IP4
            where = f"{_address(entry)} dev {view.ports.name(exact(entry, 'port'))}"
            if step.new is None:
                command = Command(tool, f"neigh del {where}", step.key, RANK, removes=True, tolerates=GONE)
            else:
                mac = mac_text(param(step.new, "mac"))
                line = f"neigh replace {where} lladdr {mac} nud permanent protocol {PROTOCOL}"
                command = Command(tool, line, step.key, RANK)
            work.commands.append(command)
        return work


def _address(entry: TableEntry) -> str:
    return address(exact(entry, "addr"), 128 if entry.table == "host_v6" else 32)
