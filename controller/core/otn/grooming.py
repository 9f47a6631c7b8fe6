"""Grooming: put a slice into server ODUs along a route, opening new ones only where none has room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.core.errors import Infeasible
from controller.core.model import Container, SliceHop
from controller.core.otn.ledger import LINE, Ledger, Row, RowKey, pick_slots
from controller.core.otn.slots import format_slots, parse_slots
from controller.core.topology import Topology


@dataclass(frozen=True, slots=True)
class Groomed:
    """Where a slice runs, hop by hop along its route, and what that costs beside its slots."""

    hops: tuple[SliceHop, ...]
    opened: tuple[tuple[str, str], ...] = ()
    """(fibre, server) of the server ODUs that are opened for it."""


def groom(
    topology: Topology,
    ledger: Ledger,
    links: Sequence[str],
    container: Container,
    count: int,
    kept: Sequence[SliceHop] = (),
) -> Groomed:
    """`count` slots both ways on each of `links`, fewest new servers first.

    `kept`: hops of the same slice that stands; where link and server are the same its slots are its own and count as
    free, and it stays in its server where that has room. Raises `Infeasible` (NO_CAPACITY, metadata `links`).
    """
    own = {(hop.link, hop.server): parse_slots(hop.slots) for hop in kept}
    return Groomed(tuple(_hop(topology, ledger, link, container, count, own) for link in links))


def room(topology: Topology, ledger: Ledger, link: str, container: Container) -> int:
    """The largest slice in `container` that a fibre has room for now, in slots of what carries it."""
    return max((_free(_rows(ledger, link, each)) for each in _servers(topology, link, container)), default=0)


def _hop(
    topology: Topology,
    ledger: Ledger,
    link: str,
    container: Container,
    count: int,
    own: dict[tuple[str, str], tuple[int, ...]],
) -> SliceHop:
    """Its own server, else the fullest with room, so that whole servers stay free."""
    rows = {server: _rows(ledger, link, server) for server in _servers(topology, link, container)}
    ranked = sorted(rows, key=lambda server: ((link, server) not in own, _free(rows[server]), server))
    for server in ranked:
        slots = pick_slots(rows[server], count, own.get((link, server), ()))
        if slots is not None:
            return SliceHop(link, server, format_slots(slots))
    raise Infeasible(f"{link} has no room for {count} slots both ways", reason="NO_CAPACITY", metadata={"links": link})


def _servers(topology: Topology, link: str, container: Container) -> tuple[str, ...]:
    if container is not Container.FGODUFLEX:
        return (LINE,)
    return tuple(server.name for server in topology.links[link].servers)


def _rows(ledger: Ledger, link: str, server: str) -> tuple[Row, Row]:
    return ledger.row(RowKey(link, server, 0)), ledger.row(RowKey(link, server, 1))


def _free(rows: tuple[Row, Row]) -> int:
    """Both ways: the slots of a slice are the same numbers in both directions."""
    return min(row.capacity for row in rows) - (rows[0].bitmap | rows[1].bitmap).bit_count()
