"""What a port is: an nft set of the network ports and a map of the customer ports to their VRF's mark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controller.core.entries import Exact, TableEntry
from controller.linux.kernel import GONE, Command, Tool
from controller.linux.room import Block, Entries, Step, Work, exact, param
from controller.linux.shaper import root_commands
from controller.linux.view import View
from controller.linux.vrfs import require_rules, ruled

RANK = 0


class PortRoles:
    tables = frozenset({"port_role"})

    def read(self, view: View) -> Iterator[TableEntry]:
        for name in view.network_interfaces():
            number, mac = view.ports.number(name), view.ports.mac(name)
            if number is not None and mac is not None and view.classes.get(name) is not None:
                yield TableEntry("port_role", (("port", Exact(number)),), "network", (("mac", mac),))
        for name, vrf in _customers(view).items():
            number, mac = view.ports.number(name), view.ports.mac(name)
            if number is not None and mac is not None and ruled(view, vrf):
                params = (("mac", mac), ("vrf", vrf))
                yield TableEntry("port_role", (("port", Exact(number)),), "customer", params)

    def check(self, entry: TableEntry, view: View) -> None:
        view.ports.require_mac(exact(entry, "port"), param(entry, "mac"))

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        work = Work()
        for step in steps:
            entry = step.new or step.old
            assert entry is not None
            name = view.ports.name(exact(entry, "port"))
            work.blocks.append(Block(frozenset({step.key}), tuple(_lines(step, name, view))))
            if step.new is not None and step.new.action == "network":
                work.commands += root_commands(name, view, step.key)
            elif step.old is not None and step.old.action == "network":
                line = f"qdisc del dev {name} root"
                work.commands.append(Command(Tool.TC, line, step.key, RANK, removes=True, tolerates=GONE))
            if step.new is not None and step.new.action == "customer":
                work.commands += require_rules(view, param(step.new, "vrf"), step.key)
        return work


def _lines(step: Step, name: str, view: View) -> Iterator[str]:
    """From whatever role the port has in the kernel to the new one, in one transaction."""
    new = step.new
    if name in view.network_interfaces() and (new is None or new.action != "network"):
        yield f'delete element inet corridor network_ports {{ "{name}" }}'
    if name in _customers(view):
        yield f'delete element inet corridor customer_ports {{ "{name}" }}'
    if new is not None and new.action == "network":
        yield f'add element inet corridor network_ports {{ "{name}" }}'
    elif new is not None:
        yield f'add element inet corridor customer_ports {{ "{name}" : {param(new, "vrf") << 16:#x} }}'


def _customers(view: View) -> dict[str, int]:
    return {str(name): int(str(mark)) >> 16 for name, mark in view.ports_and_marks.pairs("customer_ports")}
