"""Server ODUs that are opened on demand, known by their names: `odu1:3-4` is an ODU1 in these slots of the line.

Which server is opened in a line where a slice finds no room: the largest below the line itself that its free tributary
slots hold, of ODU2, ODU1, ODU0. Every one of them offers the same 119 fgTS per 1.25G slot that it takes, so a
larger server costs the line nothing per slot of fgTS, while it is opened more rarely and is the better filled: two
slices of 60 waste half of an ODU0 each and fit one ODU1 with a third beside them. The ODU of the line itself would
hold the most, but leave nothing to any later trail or ODUflex, for the sake of perhaps one slice. So a line of ODU2
opens ODU1s, a quarter of it at once, and one of ODU4 opens ODU2s, a tenth of it. On an ODUCn, whose slots have 5G, an
ODU0 would take as much of the line as an ODU1: it is never opened there. fgTS are never directly in ODU3, ODU4 or
ODUCn (G.709 Annex M).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from controller.core.model import Container, Link
from controller.core.otn.rates import FGTS_PER_SERVER
from controller.core.otn.slots import bitmap_of_runs, first_of, format_runs, parse_runs, runs_of
from controller.core.otn.tributary import LINE_SLOTS, carries, tributary_slots

LINE = "line"
"""Server of the rows that hold the tributary slots of a fibre's line."""


@dataclass(frozen=True, slots=True)
class OpenedServer:
    """What the name of a server says that was opened on demand."""

    odu: Container
    tributaries: int
    """Bitmap of its slots of the line."""

    @property
    def name(self) -> str:
        return f"{self.odu.lower()}:{format_runs(runs_of(self.tributaries))}"

    @property
    def fgts(self) -> int:
        return FGTS_PER_SERVER[self.odu]


def opened_server(name: str) -> OpenedServer | None:
    """The server of this name; None where the name is not one of those opened on demand."""
    odu, colon, slots = name.partition(":")
    return OpenedServer(Container(odu.upper()), bitmap_of_runs(parse_runs(slots))) if colon else None


def stands_in(server: str, line: Container) -> bool:
    """Whether a server could have its slots in a line of this kind: one opened on demand takes not as many in each.

    Of all others there is nothing to tell by the name.
    """
    opened = opened_server(server)
    if opened is None:
        return True
    return carries(line, opened.odu) and tributary_slots(opened.odu, line) == opened.tributaries.bit_count()


def standing_slots(link: Link) -> dict[str, tuple[int, ...]]:
    """Tributary slots of the servers that a fibre has from the start: the first of its line, in the file's order."""
    slots, first = dict[str, tuple[int, ...]](), 1
    for server in link.servers:
        slots[server.name] = tuple(range(first, first + server.tributary_slots))
        first += server.tributary_slots
    return slots


def slots_of_line(link: Link) -> int:
    """Tributary slots of a fibre's line; a file that does not say has the ODUk's own."""
    return link.line_slots or LINE_SLOTS[link.line]


def openable(line: Container, free: int) -> OpenedServer | None:
    """The server to open in the lowest of a line's `free` tributary slots (bitmap); None where none fits."""
    for odu, slots in _SIZES.get(line, ()):
        if free.bit_count() >= slots:
            return OpenedServer(odu, bitmap_of_runs(first_of(runs_of(free), slots)))
    return None


def _sizes(line: Container) -> tuple[tuple[Container, int], ...]:
    """(server, tributary slots) that are opened in a line, largest first; of two that take as much the larger."""
    sizes: dict[int, Container] = {}
    for odu in (Container.ODU2, Container.ODU1, Container.ODU0):
        if odu is not line and carries(line, odu):
            sizes.setdefault(tributary_slots(odu, line), odu)
    return tuple((odu, slots) for slots, odu in sizes.items())


_SIZES: Mapping[Container, tuple[tuple[Container, int], ...]] = MappingProxyType(
    {line: _sizes(line) for line in (*LINE_SLOTS, Container.ODUC)}
)
