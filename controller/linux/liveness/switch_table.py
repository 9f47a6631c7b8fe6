"""Map `switched` of nft table `inet corridor`: a policy that is on its backup → the chain that gives it that mark.

One transaction moves any number of policies, both families at once, and each packet has either mark for all its way
through the router. Messages are made beforehand: a switch-over is one system call (linux/netfilter/nf_tables.h).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence

TABLE, MAP = "corridor", "switched"
_NETLINK_NETFILTER = 12
_NFTABLES, _INET = 10, 1
_BATCH_BEGIN, _BATCH_END = 16, 17
_NEW_ELEMENT, _DELETE_ELEMENT = _NFTABLES << 8 | 12, _NFTABLES << 8 | 14
_REQUEST, _ACK, _CREATE = 0x1, 0x4, 0x400
_NESTED = 0x8000
_GOTO = -4
_ERROR = 2
_HEADER, _GENERIC = struct.Struct("=IHHII"), struct.Struct("!BBH")
_ABSENT = 2
"""ENOENT."""


def chain(backup: int) -> str:
    """The chain that marks for this policy."""
    return f"policy_{backup}"


class Move:
    """One policy to its backup, or back: the message without its header."""

    __slots__ = ("body", "kind")

    def __init__(self, policy: int, backup: int | None) -> None:
        """`backup` None: back to its own list."""
        self.kind = _DELETE_ELEMENT if backup is None else _NEW_ELEMENT
        # A mark is a number of this machine.
        parts = _attribute(1 | _NESTED, _attribute(1, struct.pack("=I", policy)))
        if backup is not None:
            verdict = _attribute(1, struct.pack("!i", _GOTO)) + _attribute(2, chain(backup).encode() + b"\0")
            parts += _attribute(2 | _NESTED, _attribute(2 | _NESTED, verdict))
        element = _attribute(3 | _NESTED, _attribute(1 | _NESTED, parts))
        names = _attribute(1, TABLE.encode() + b"\0") + _attribute(2, MAP.encode() + b"\0")
        self.body = _GENERIC.pack(_INET, 0, 0) + names + element


class SwitchTable:
    """A netlink socket of its own; not for concurrent use."""

    def __init__(self) -> None:
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER)
        self._netlink.bind((0, 0))

    def make(self, moves: Sequence[Move]) -> list[int]:
        """All at once, or, where the kernel refuses that, each by itself; returns an error number for each, 0: done.

        To take back what is not there counts as done.
        """
        error = self._transaction(moves)
        if not error:
            return [0] * len(moves)
        errors = [error] if len(moves) == 1 else [self._transaction([move]) for move in moves]
        return [
            0 if number == _ABSENT and move.kind == _DELETE_ELEMENT else number
            for move, number in zip(moves, errors, strict=True)
        ]

    def _transaction(self, moves: Sequence[Move]) -> int:
        """0 or an error number."""
        batch = _GENERIC.pack(0, 0, _NFTABLES)
        messages = [_message(_BATCH_BEGIN, _REQUEST, 0, batch)]
        for number, move in enumerate(moves, 1):
            flags = _REQUEST | (_CREATE if move.kind == _NEW_ELEMENT else 0) | (_ACK if number == len(moves) else 0)
            messages.append(_message(move.kind, flags, number, move.body))
        messages.append(_message(_BATCH_END, _REQUEST, len(moves) + 1, batch))
        try:
            self._netlink.send(b"".join(messages))
        except OSError as error:
            return error.errno or -1
        return next((number for number in self._answers() if number), 0)

    def _answers(self) -> Iterator[int]:
        """Error numbers: the kernel has answered before `send` returns."""
        while True:
            try:
                data, offset = self._netlink.recv(1 << 16), 0
            except BlockingIOError:
                return
            except OSError as error:
                yield error.errno or -1
                return
            while offset + _HEADER.size <= len(data):
                length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
                if kind == _ERROR:
                    yield -struct.unpack_from("=i", data, offset + _HEADER.size)[0]
                offset += max((length + 3) & ~3, _HEADER.size)


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
