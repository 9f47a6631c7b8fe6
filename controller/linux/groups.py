"""Next-hop groups: nexthop groups of the kernel, which shares flows out among their members by weight.

A group is 0x10000 + its number among the kernel's nexthop ids. The kernel takes a member out when its port goes down,
and the group with the last of them, with all routes that use it: what is gone is not there until it is written again.
A flow is told by source, destination and flow label (IPv4: source and destination).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controller.core.entries import Exact, TableEntry
from controller.linux.kernel import GONE, Command, Tool
from controller.linux.marks import PROTOCOL, group_id, of_group_id
from controller.linux.members import ACTION, TABLE, Member, members, params
from controller.linux.rejected import unimplemented
from controller.linux.room import Entries, Step, Work, exact
from controller.linux.view import View

RANK = 15
_WEIGHT_LIMIT = 256


class NextHopGroups:
    tables = frozenset({TABLE})

    def read(self, view: View) -> Iterator[TableEntry]:
        ports = {item["id"]: view.ports.number(item.get("dev", "")) for item in view.ipv6.next_hops}
        for item in view.groups:
            group = of_group_id(item["id"])
            found = [(one["id"], one.get("weight", 1), ports.get(one["id"])) for one in item["group"]]
            if group is not None and all(port is not None for _, _, port in found):
                whole = params(Member(next_hop, weight, port or 0) for next_hop, weight, port in found)
                yield TableEntry(TABLE, (("group", Exact(group)),), ACTION, whole)

    def check(self, entry: TableEntry, view: View) -> None:
        """Whether a member watches the port of its next hop is judged with the references."""
        found = members(entry)
        if len({member.next_hop for member in found}) < len(found):
            raise unimplemented("the kernel has a next hop once in a group: give it a weight")
        if any(member.weight > _WEIGHT_LIMIT for member in found):
            raise unimplemented(f"the kernel has weights 1..{_WEIGHT_LIMIT}")

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        standing = {item["id"] for item in view.groups}
        return Work(commands=[_command(step, standing) for step in steps])


def _command(step: Step, standing: set[int]) -> Command:
    """`add` where we have none of the number: it fails on a foreign object, which `replace` would take over."""
    entry = step.new or step.old
    assert entry is not None
    number = group_id(exact(entry, "group"))
    if step.new is None:
        return Command(Tool.IP, f"nexthop del id {number}", step.key, RANK, removes=True, tolerates=GONE)
    verb = "replace" if number in standing else "add"
    group = "/".join(f"{member.next_hop},{member.weight}" for member in members(step.new))
    return Command(Tool.IP, f"nexthop {verb} id {number} group {group} protocol {PROTOCOL}", step.key, RANK)
