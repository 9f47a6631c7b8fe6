"""What the kernel holds at one moment: each dump is taken when a room first asks for it, then kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from controller.linux.interfaces import Ports
from controller.linux.kernel import FamilyDump, Json, Kernel, Tool
from controller.linux.marks import MAIN_TABLE, SR_DEVICE
from controller.linux.traffic_control import HtbClass

_SMALL = (
    "set inet corridor network_ports",
    "map inet corridor customer_ports",
    "map inet corridor decapsulation",
    "map inet corridor segment_lists",
    "set inet corridor decapsulating",
    "set inet corridor node_addresses",
    "set inet corridor path_probes",
    "set inet corridor policy_backups",
    "map inet corridor switched",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of an nft chain: its statements and its comment."""

    statements: tuple[Json, ...]
    comment: str


@dataclass(frozen=True, slots=True)
class NftDump:
    """Table `inet corridor`, taken apart."""

    sets: dict[str, list[object]] = field(default_factory=dict)
    """Sets and maps by name: elements, in maps as pairs."""
    chains: dict[str, list[Rule]] = field(default_factory=dict)
    counters: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Packets and bytes."""

    def pairs(self, name: str) -> Iterator[tuple[Json | str | int, Json | str | int]]:
        for element in self.sets.get(name, []):
            assert isinstance(element, list)
            yield element[0], element[1]


class View:
    def __init__(self, kernel: Kernel, ports: Ports) -> None:
        self._kernel = kernel
        self.ports = ports

    @cached_property
    def ipv6(self) -> FamilyDump:
        return self._kernel.dump(Tool.IP6)

    @cached_property
    def ipv4(self) -> FamilyDump:
        return self._kernel.dump(Tool.IP4)

    @cached_property
    def groups(self) -> tuple[Json, ...]:
        return self._kernel.dump_groups()

    @cached_property
    def nft(self) -> NftDump:
        return take_apart(self._kernel.dump_nft())

    @cached_property
    def ports_and_marks(self) -> NftDump:
        """The small sets and maps alone: listing the whole table takes a millisecond per ten rules."""
        objects: list[Json] = []
        for what in _SMALL:
            objects += self._kernel.dump_nft(what)
        return take_apart(objects)

    @cached_property
    def classes(self) -> dict[str, dict[int, HtbClass] | None]:
        return self._kernel.dump_classes([SR_DEVICE, *self.ports.names])

    def network_interfaces(self) -> list[str]:
        return [str(name) for name in self.ports_and_marks.sets.get("network_ports", [])]


def take_apart(objects: list[Json]) -> NftDump:
    dump = NftDump()
    for item in objects:
        for kind, thing in item.items():
            if kind in ("set", "map"):
                dump.sets[thing["name"]] = thing.get("elem", [])
            elif kind == "chain":
                dump.chains[thing["name"]] = []
            elif kind == "counter":
                dump.counters[thing["name"]] = (thing["packets"], thing["bytes"])
            elif kind == "rule":
                dump.chains[thing["chain"]].append(Rule(tuple(thing["expr"]), thing.get("comment", "")))
    return dump


def table_of(route: Json) -> int:
    """A route's table number; `ip` prints none for the main table."""
    table = str(route.get("table", MAIN_TABLE))
    return int(table) if table.isdigit() else MAIN_TABLE
