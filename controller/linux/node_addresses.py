"""Addresses of the node itself: local routes beside its SIDs, and an nft set of what the node answers to.

The route is in the SIDs' table, which a packet with a VRF's mark never meets, and is taken before a SID of the same
address. So the kernel is the host of the address for packets of the network and nobody else. STAMP goes up by the
agent's packet socket, and ends here like all that is no echo request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address

from controller.core.entries import Exact, TableEntry
from controller.linux.kernel import GONE, Command, Json, Tool
from controller.linux.marks import PROTOCOL, SID_TABLE, SR_DEVICE
from controller.linux.rejected import invalid
from controller.linux.room import Block, Entries, Step, Work, address, exact
from controller.linux.view import View, table_of

RANK = 24
NODE_CHAIN = "node"
NODE_RULES = (
    "iifname != @network_ports drop",
    # As an endpoint of an SRH the node is addressed by its SIDs alone.
    "rt seg-left > 0 drop",
    "icmpv6 type echo-request accept",
    "drop",
)
_METRIC = 512


class NodeAddresses:
    tables = frozenset({"node_address"})

    def read(self, view: View) -> Iterator[TableEntry]:
        answered = _answered(view)
        for route in view.ipv6.routes:
            if _is_node(route) and (number := int(IPv6Address(route["dst"]))) in answered:
                yield TableEntry("node_address", (("dst", Exact(number)),), "to_node")

    def check(self, entry: TableEntry, view: View) -> None:
        where = IPv6Address(exact(entry, "dst"))
        if where.is_unspecified or where.is_loopback or where.is_multicast or where.is_link_local:
            raise invalid(f"{where} is no address of a node")

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        answered, work = _answered(view), Work()
        for step in steps:
            entry = step.new or step.old
            assert entry is not None
            number = exact(entry, "dst")
            where, adds = address(number, 128), step.new is not None
            work.commands.append(_command(step, where))
            if adds or number in answered:
                line = f"{'add' if adds else 'delete'} element inet corridor node_addresses {{ {where} }}"
                work.blocks.append(Block(frozenset({step.key}), (line,)))
        return work


def _command(step: Step, where: str) -> Command:
    route = f"local {where}/128 dev {SR_DEVICE} table {SID_TABLE} metric {_METRIC} proto {PROTOCOL}"
    if step.new is not None:
        return Command(Tool.IP6, f"route replace {route}", step.key, RANK)
    return Command(Tool.IP6, f"route del {route}", step.key, RANK, removes=True, tolerates=GONE)


def _answered(view: View) -> set[int]:
    elements = view.ports_and_marks.sets.get("node_addresses", [])
    return {int(IPv6Address(str(element))) for element in elements}


def _is_node(route: Json) -> bool:
    return table_of(route) == SID_TABLE and route.get("type") == "local" and route.get("metric") == _METRIC
