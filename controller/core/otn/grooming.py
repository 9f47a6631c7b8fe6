"""Grooming: put a slice into server ODUs along a route, opening new ones only where none has room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.core.model import Container, SliceHop
from controller.core.otn.ledger import Ledger
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
    raise NotImplementedError
