"""Who may write: P4Runtime's election, as one small state machine without I/O (P4Runtime 1.4, clause 5).

The highest election id ever seen of a role is the bar for the life of the agent. The client that holds it on an open
stream is primary; nobody else may write, so a controller that was replaced is fenced off.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import grpc

from controller.linux.rejected import Rejected, invalid


@dataclass(slots=True)
class _Role:
    highest: int = 0
    """The bar; 0: no client ever gave an id."""
    clients: dict[Hashable, int] = field(default_factory=dict)
    """Open streams and their election ids; 0: none given, such a client is never primary."""

    @property
    def primary(self) -> Hashable | None:
        if not self.highest:
            return None
        return next((client for client, given in self.clients.items() if given == self.highest), None)


class Arbitration:
    """The elections of one device, by role name (the empty name is the role that may write everything)."""

    def __init__(self) -> None:
        self._roles: dict[str, _Role] = {}

    def arbitrate(self, client: Hashable, role: str, election_id: int) -> None:
        """A client joins, or changes its id; raises `Rejected` where another one has the same id."""
        members = self._roles.setdefault(role, _Role())
        if election_id and any(c != client and given == election_id for c, given in members.clients.items()):
            raise invalid(f"election id {election_id} is in use on another stream")
        members.clients[client] = election_id
        members.highest = max(members.highest, election_id)

    def leave(self, client: Hashable, role: str) -> None:
        """A stream is gone. The bar stays: no backup is promoted by it."""
        members = self._roles.get(role)
        if members is not None:
            members.clients.pop(client, None)

    def clients(self, role: str) -> list[Hashable]:
        return list(self._roles[role].clients) if role in self._roles else []

    def primary(self, role: str = "") -> Hashable | None:
        return self._roles[role].primary if role in self._roles else None

    def highest(self, role: str = "") -> int:
        return self._roles[role].highest if role in self._roles else 0

    def status(self, client: Hashable, role: str) -> grpc.StatusCode:
        """What the client is told: OK to the primary, ALREADY_EXISTS to its backups, NOT_FOUND without a primary."""
        primary = self.primary(role)
        if primary is None:
            return grpc.StatusCode.NOT_FOUND
        return grpc.StatusCode.OK if primary == client else grpc.StatusCode.ALREADY_EXISTS

    def fence(self, role: str, election_id: int) -> None:
        """Raise `Rejected` unless the id is that of the primary that now holds the stream."""
        if not election_id or election_id != self.highest(role) or self.primary(role) is None:
            raise Rejected(grpc.StatusCode.PERMISSION_DENIED, f"election id {election_id} is not the primary's")
