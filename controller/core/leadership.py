"""Who leads among the controllers that share a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    LEADER = "LEADER"
    """It plans, stores and writes to devices."""
    FOLLOWER = "FOLLOWER"
    """It serves reads and watches, and refuses writes with the leader's address."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The row that says who leads, by the database's clock."""

    holder: str
    """Id of a controller: host and process, unique among those that share a database."""
    epoch: int
    """Fencing epoch: raised whenever the lease is won, also by the same controller started anew."""
    grpc: str
    """`host:port`"""
    rest: str
    """URL"""
    remaining_s: float
    """Until it ends unless it is renewed; not positive where it has ended."""


@dataclass(frozen=True, slots=True)
class Controller:
    """The controller that answers, and who leads."""

    id: str = ""
    role: Role = Role.FOLLOWER
    epoch: int = 0
    """Of the leader."""
    leader_grpc: str = ""
    """`host:port` of the leader; empty where none leads."""
    leader_rest: str = ""
    """URL of the leader's REST face."""
    lease_end: datetime | None = None
    """When the lease ends unless it is renewed."""
