"""The line interfaces of fibres, the server ODUs that they open with, and the tributary slots that are left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from controller.core.model import Container, Server
from controller.core.otn import FGTS_PER_SERVER, LINE, tributary_slots
from controller.core.otn.odu import payload_kbps
from controller.core.otn.tributary import MAX_ODUC, carries, line_slots
from controller.topology_file.marked_yaml import Element
from controller.topology_file.values import LABEL, fresh

TRAILS = (Container.ODU0, Container.ODU1, Container.ODU2, Container.ODU4)
"""What a trail can be carried in."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line interface: its ODU and that one's tributary slots."""

    odu: Container
    slots: int

    @property
    def capacity_kbps(self) -> int:
        return payload_kbps(self.odu, self.slots)


LINES: Mapping[str, Line] = MappingProxyType(
    {str(odu): Line(odu, line_slots(odu)) for odu in (Container.ODU2, Container.ODU4)}
    | {f"{Container.ODUC}{n}": Line(Container.ODUC, line_slots(Container.ODUC, n)) for n in range(1, MAX_ODUC + 1)}
)
"""By the name in the file: ODU2 (an OTU2 interface), ODU4 (OTU4), ODUC1 to ODUC10 (OTUCn)."""
DEFAULT_LINE = LINES[Container.ODU2]


def line_of(element: Element) -> Line:
    name = element.scalar()
    if name not in LINES:
        raise element.wrong(f"{name!r} is not one of {', '.join(LINES)}")
    return LINES[name]


def servers(element: Element, line: Line) -> tuple[Server, ...]:
    """The server ODUs that a line opens with; a fine-grain slot goes into no other than these kinds."""
    carried: dict[str, Server] = {}
    for item in element.sequence():
        keys = item.mapping(["name", "odu"])
        name = fresh(keys["name"], keys["name"].text(LABEL), carried, {LINE: line})
        odu = keys["odu"].choice(Container, FGTS_PER_SERVER)
        fgts, taken = FGTS_PER_SERVER[odu], tributary_slots(odu, line.odu)
        carried[name] = Server(name, odu, taken, fgts, free_forward=fgts, free_reverse=fgts)
    taken = sum(server.tributary_slots for server in carried.values())
    if taken > line.slots:
        raise element.wrong(f"the servers take {taken} of {line.slots} tributary slots")
    return tuple(carried.values())


class Occupation:
    """The tributary slots that servers and trails take of each fibre."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self._taken: dict[str, int] = {}

    def open(self, fibre: str, line: Line, carried: tuple[Server, ...]) -> None:
        self._lines[fibre] = line
        self._taken[fibre] = sum(server.tributary_slots for server in carried)

    def occupy(self, route: Element, container: Container) -> None:
        """With a trail along a route of fibres; a faster line has fewer or larger slots for it."""
        for item in route.sequence():
            fibre = item.text()
            line = self._lines[fibre]
            if not carries(line.odu, container):
                raise item.wrong(f"the line of {fibre} carries no {container}")
            self._taken[fibre] += tributary_slots(container, line.odu)
            if self._taken[fibre] > line.slots:
                taken = self._taken[fibre]
                raise item.wrong(f"servers and trails take {taken} of the {line.slots} tributary slots of {fibre}")
