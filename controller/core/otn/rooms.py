"""Where fine-grain slices find room: the server ODUs of each fibre, those that stand and those that can be opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controller.core.addresses import A_TO_Z, Z_TO_A
from controller.core.model import Link, LinkKind
from controller.core.otn.ledger import Ledger, RowKey
from controller.core.topology import Topology


@dataclass(frozen=True, slots=True)
class Room:
    """A server ODU of a fibre, with the slots (bit 0 = slot 1) that are free both ways."""

    server: str
    free: int


def rooms_of(topology: Topology, ledger: Ledger, fibres: Iterable[str] = ()) -> dict[str, tuple[Room, ...]]:
    """The rooms of these fibres, of all where none is given."""
    names = fibres or [link.name for link in topology.of_kind(LinkKind.FIBRE)]
    return {fibre: tuple(_rooms(topology.links[fibre], ledger)) for fibre in names}


def _rooms(link: Link, ledger: Ledger) -> Iterator[Room]:
    for server in link.servers:
        held = [ledger.row(RowKey(link.name, server.name, way)).bitmap for way in (A_TO_Z, Z_TO_A)]
        yield Room(server.name, (1 << server.fgts) - 1 & ~(held[0] | held[1]))
