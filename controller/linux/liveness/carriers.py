"""Interfaces that lose their carrier, as the kernel tells it (rtnetlink(7), group of links)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

_LINK_GROUP = 1
_NEW_LINK, _DELETE_LINK = 16, 17
_LOWER_UP = 0x10000
_NAME = 3
_HEADER, _LINK, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=HH")


class Carriers:
    """`socket` is readable when there is something to `lost`."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self.socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self.socket.bind((0, _LINK_GROUP))

    def lost(self) -> set[str]:
        """Interfaces that were without carrier at any moment since the last call, or are gone."""
        found: set[str] = set()
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except BlockingIOError:
                return found
            except OSError:
                continue  # ENOBUFS: some news is lost, which the probes tell later
            found |= set(lost_in(data))


def lost_in(data: bytes) -> Iterator[str]:
    """Of one datagram of netlink messages."""
    offset = 0
    while offset + _HEADER.size + _LINK.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        _, _, _, flags, _ = _LINK.unpack_from(data, offset + _HEADER.size)
        if kind == _DELETE_LINK or (kind == _NEW_LINK and not flags & _LOWER_UP):
            yield _name(data[offset + _HEADER.size + _LINK.size : offset + length])
        offset += max((length + 3) & ~3, _HEADER.size)


def _name(attributes: bytes) -> str:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(attributes):
        length, kind = _ATTRIBUTE.unpack_from(attributes, offset)
        if kind == _NAME:
            return attributes[offset + _ATTRIBUTE.size : offset + length].rstrip(b"\0").decode()
        offset += max((length + 3) & ~3, _ATTRIBUTE.size)
    return ""
