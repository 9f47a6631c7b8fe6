"""Between target and engine: a line of JSON each, over a pair of sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from controller.linux.liveness.probing import Way
from controller.linux.liveness.protected_policy import Backup


class SessionNews(NamedTuple):
    session: int
    up: bool
    round_trip_us: int


class PolicyNews(NamedTuple):
    policy: int
    on_backup: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Watch:
    """All that the entries of `path_probe` and `policy_backup` say, by session and policy."""

    sessions: dict[int, Way]
    policies: dict[int, Backup]
    ports: tuple[str, ...]
    """Interfaces of the network ports, by which alone probes come back."""
    switched: dict[int, int]
    """What is on its backup in the kernel: policy to backup. Of use to an engine that has just started."""

    def encoded(self) -> bytes:
        return _line(
            {
                "sessions": {str(number): asdict(way) for number, way in self.sessions.items()},
                "policies": {str(number): asdict(entry) for number, entry in self.policies.items()},
                "ports": self.ports,
                "switched": {str(policy): backup for policy, backup in self.switched.items()},
            }
        )

    @classmethod
    def decoded(cls, said: dict[str, Any]) -> Watch:
        return cls(
            {int(n): Way(**way | {"carriers": tuple(way["carriers"])}) for n, way in said["sessions"].items()},
            {int(n): Backup(**entry) for n, entry in said["policies"].items()},
            tuple(said["ports"]),
            {int(policy): backup for policy, backup in said["switched"].items()},
        )


def encode_news(sessions: Iterable[SessionNews], policies: Iterable[PolicyNews]) -> bytes:
    """In the words of the contract."""
    return _line({"sessions": [each._asdict() for each in sessions], "policies": [each._asdict() for each in policies]})


def _line(said: dict[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


class Framed:
    """Lines over a socket that never blocks."""

    def __init__(self, stream: socket.socket) -> None:
        stream.setblocking(False)
        self.socket = stream
        self.pending = b""
        """What the other end has not taken yet."""
        self._begun = b""

    def send(self, line: bytes) -> None:
        self.pending += line
        self.flush()

    def flush(self) -> bool:
        """Whether all is gone."""
        try:
            while self.pending:
                self.pending = self.pending[self.socket.send(self.pending) :]
        except BlockingIOError:
            return False
        except OSError:
            self.pending = b""  # nobody is there any more, which `receive` tells
        return True

    def receive(self) -> list[dict[str, Any]] | None:
        """The lines that are there; None where the other end is gone."""
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:
                return None
            if not data:
                return None
            self._begun += data
        *lines, self._begun = self._begun.split(b"\n")
        return [json.loads(line) for line in lines]
