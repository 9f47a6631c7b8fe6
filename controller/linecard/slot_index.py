"""Who holds which slot: of each server ODU, and of the lines below them.

Kept beside the slot table, so that a change costs the slots that it names and not those of all other slices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from controller.core.otn.servers import LINE, opened_server
from controller.core.otn.slots import bitmap_of


class SlotIndex:
    """A slot is taken once; different servers at one line port take different tributary slots of the line."""

    def __init__(self) -> None:
        self._holders: defaultdict[tuple[int, str], dict[int, int]] = defaultdict(dict)
        """By line port and server: the slice that holds a slot."""
        self._servers: defaultdict[int, dict[str, int]] = defaultdict(dict)
        """By line port: bitmap of the tributary slots of the line that each server takes."""
        self._lines: defaultdict[int, int] = defaultdict(int)
        """By line port: all of them together."""

    def take(self, slice_id: int, line_port: int, server: str, slots: Sequence[int]) -> None:
        """Slots that `holder` and `below` found free."""
        self._holders[line_port, server].update(dict.fromkeys(slots, slice_id))
        bits = tributaries(server, slots)
        self._servers[line_port][server] = self._servers[line_port].get(server, 0) | bits
        self._lines[line_port] |= bits

    def give_back(self, line_port: int, server: str, slots: Sequence[int]) -> None:
        """Slots that were taken; the server's own go with the last of them."""
        holders = self._holders[line_port, server]
        for slot in slots:
            del holders[slot]
        if holders and server != LINE:
            return
        bits = tributaries(server, slots)
        self._servers[line_port][server] &= ~bits
        self._lines[line_port] &= ~bits
        if not holders:
            del self._holders[line_port, server], self._servers[line_port][server]

    def holder(self, line_port: int, server: str, slots: Sequence[int]) -> tuple[int, int] | None:
        """The lowest of these slots that is taken, and the slice that holds it."""
        holders = self._holders.get((line_port, server))
        if holders is None or holders.keys().isdisjoint(slots):
            return None
        lowest = min(slot for slot in slots if slot in holders)
        return lowest, holders[lowest]

    def below(self, line_port: int, server: str, slots: Sequence[int]) -> tuple[int, int] | None:
        """The lowest tributary slot of the line that another server has taken, and a slice in that."""
        servers = self._servers.get(line_port)
        if servers is None:
            return None
        taken = self._lines[line_port] & ~servers.get(server, 0) & tributaries(server, slots)
        if not taken:
            return None
        lowest = taken & -taken
        other = next(name for name, bits in servers.items() if bits & lowest)
        holders = self._holders[line_port, other]
        slot = lowest.bit_length()
        return slot, holders[slot] if other == LINE else next(iter(holders.values()))


def tributaries(server: str, slots: Sequence[int]) -> int:
    """Bitmap of the tributary slots of the line that slots of a server take, as far as the server's name says."""
    if server == LINE:
        return bitmap_of(slots)
    opened = opened_server(server)
    return 0 if opened is None else opened.tributaries
