"""Where fine-grain slices find room: the server ODUs of each fibre, those that stand and those that can be opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from controller.core.model import Link, LinkKind
from controller.core.otn.ledger import Ledger, Pair, free_both_ways
from controller.core.otn.servers import LINE, openable
from controller.core.topology import Topology


@dataclass(frozen=True, slots=True)
class Room:
    """A server ODU of a fibre, with the slots (bit 0 = slot 1) that are free both ways."""

    server: str
    free: int
    stands: bool = True
    """False where it would be opened for its first slice."""


def rooms_of(topology: Topology, ledger: Ledger, fibres: Iterable[str] = ()) -> dict[str, tuple[Room, ...]]:
    """The rooms of these fibres, of all where none is given; those that stand come first, the fuller before."""
    names = fibres or [link.name for link in topology.of_kind(LinkKind.FIBRE)]
    return {fibre: tuple(_rooms(topology.links[fibre], ledger.links[fibre])) for fibre in names}


def _rooms(link: Link, servers: Mapping[str, Pair]) -> Iterator[Room]:
    standing = [Room(name, free_both_ways(pair)) for name, pair in servers.items() if name != LINE]
    yield from sorted(standing, key=lambda room: (room.free.bit_count(), room.server))
    line = free_both_ways(servers[LINE])
    while (opened := openable(link.line, line)) is not None:
        yield Room(opened.name, (1 << opened.fgts) - 1, stands=False)
        line &= ~opened.tributaries
