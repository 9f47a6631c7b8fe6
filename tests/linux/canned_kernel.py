"""A kernel that answers with canned dumps, as `ip -j` and `nft -j` print them, and records what it is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.linux.interfaces import Ports
from controller.linux.kernel import Command, Failure, FamilyDump, KernelError, Tool
from controller.linux.traffic_control import HtbClass

EMPTY = FamilyDump((), (), (), frozenset(), "::")
OWN_MAC = 0x060000010001


class CannedPorts(Ports):
    """Every interface has the same address; nothing is asked of this machine."""

    def mac(self, name: str) -> int | None:
        return OWN_MAC


@dataclass
class CannedKernel:
    ipv6: FamilyDump = EMPTY
    ipv4: FamilyDump = EMPTY
    nft_objects: list[dict[str, Any]] = field(default_factory=list)
    classes: dict[str, dict[int, HtbClass] | None] = field(default_factory=dict)
    groups: tuple[dict[str, Any], ...] = ()
    refuses: dict[str, str] = field(default_factory=dict)
    """Part of a line → message, for the commands that fail."""
    told: list[tuple[str, str]] = field(default_factory=list)
    exchanges: int = 0

    def run(self, tool: Tool, commands: Sequence[Command]) -> list[Failure]:
        self.exchanges += bool(commands)
        self.told += [(tool.value, command.line) for command in commands]
        return [
            Failure(command, message)
            for command in commands
            for part, message in self.refuses.items()
            if part in command.line
        ]

    def nft(self, lines: Sequence[str]) -> None:
        self.exchanges += bool(lines)
        for part, message in self.refuses.items():
            if any(part in line for line in lines):
                raise KernelError(message)
        self.told += [("nft", line) for line in lines]

    def dump(self, tool: Tool) -> FamilyDump:
        return self.ipv6 if tool is Tool.IP6 else self.ipv4

    def dump_groups(self) -> tuple[dict[str, Any], ...]:
        return self.groups

    def dump_nft(self, what: str = "table inet corridor") -> list[dict[str, Any]]:
        name = what.rpartition(" ")[2]
        wanted = [item for item in self.nft_objects for thing in item.values() if thing["name"] == name]
        return self.nft_objects if what.startswith("table") else wanted

    def dump_classes(self, interfaces: Iterable[str]) -> dict[str, dict[int, HtbClass] | None]:
        return self.classes
