"""Grooming: put a slice into server ODUs along a route, opening new ones only where none has room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controller.core.errors import Infeasible
from controller.core.model import Container, Link, Server, SliceHop
from controller.core.otn.ledger import Ledger, Pair, Row, free_both_ways, pick_runs
from controller.core.otn.servers import LINE, openable, opened_server, slots_of_line
from controller.core.otn.slots import Run, format_runs, parse_runs
from controller.core.topology import Topology

Own = Mapping[tuple[str, str], list[Run]]
"""The slots that a slice has already, by (link, server)."""


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

    An fgODUflex goes into the fullest open server with room, so that whole servers stay free, and where none has any
    into one that is opened (`servers.openable`); all else into the tributary slots of the line itself.

    `kept`: hops of the same slice that stands; where link and server are the same its slots are its own and count as
    free, and it stays in its server where that has room. Raises `Infeasible` (NO_CAPACITY, metadata `links`).
    """
    own = {(hop.link, hop.server): parse_runs(hop.slots) for hop in kept}
    hops = tuple([_hop(topology.links[link], ledger.links[link], container, count, own) for link in links])
    opened = tuple((hop.link, hop.server) for hop in hops if hop.server not in ledger.links[hop.link])
    return Groomed(hops, opened)


def room(topology: Topology, ledger: Ledger, link: str, container: Container) -> int:
    """The largest slice in `container` that a fibre has room for now, in slots of what carries it."""
    servers = ledger.links[link]
    if container is not Container.FGODUFLEX:
        return _free(servers[LINE])
    opened = openable(topology.links[link].line, free_both_ways(servers[LINE]))
    most = max([_free(pair) for name, pair in servers.items() if name != LINE], default=0)
    return max(most, opened.fgts) if opened else most


def most_room(link: Link) -> int:
    """What `room` says of a fibre while it is empty, in fine-grain slots."""
    opened = openable(link.line, (1 << slots_of_line(link)) - 1)
    return max([server.fgts for server in link.servers] + [opened.fgts if opened else 0])


def open_servers(link: Link, ledger: Ledger) -> tuple[Server, ...]:
    """The server ODUs of a fibre with what is left of them: those of the file, then those that were opened, by name."""
    servers = {server.name: server for server in link.servers}
    pairs = ledger.links.get(link.name, {})  # none where the link is not planned
    for name in sorted(pairs):
        opened = opened_server(name)
        if opened is not None:
            servers[name] = Server(name, opened.odu, opened.tributaries.bit_count(), opened.fgts)
    return tuple([_with_free(server, pairs[server.name]) for server in servers.values()])


def _with_free(server: Server, pair: Pair) -> Server:
    return replace(server, free_forward=pair[0].free_slots(), free_reverse=pair[1].free_slots())


def _hop(link: Link, servers: Mapping[str, Pair], container: Container, count: int, own: Own) -> SliceHop:
    name = LINE if container is not Container.FGODUFLEX else _server(link.name, servers, count, own)
    runs = None
    if name is not None:
        runs = pick_runs(servers[name], count, own.get((link.name, name), ()))
    elif (opened := openable(link.line, free_both_ways(servers[LINE]))) is not None:
        name, runs = opened.name, pick_runs((Row(opened.fgts),), count)
    if name is None or runs is None:
        raise Infeasible(
            f"{link.name} has no room for {count} slots both ways",
            reason="NO_CAPACITY",
            metadata={"links": link.name},
        )
    return SliceHop(link.name, name, format_runs(runs))


def _server(link: str, servers: Mapping[str, Pair], count: int, own: Own) -> str | None:
    """Its own server, else the fullest, among those that are open and have room."""
    for where, runs in own.items():
        if where[0] == link and where[1] in servers and pick_runs(servers[where[1]], count, runs) is not None:
            return where[1]
    fitting = [(free, name) for name, pair in servers.items() if name != LINE and (free := _free(pair)) >= count]
    return min(fitting)[1] if fitting else None


def _free(pair: Pair) -> int:
    """The slots of a slice are the same numbers in both directions."""
    return free_both_ways(pair).bit_count()
