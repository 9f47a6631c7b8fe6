"""Dumps of queueing disciplines and HTB classes by netlink.

`tc class show` prints rates in rounded units and knows no JSON for HTB, so what it says cannot be compared with what
was asked for. Layouts: linux/rtnetlink.h, linux/pkt_sched.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ROOT_MAJOR = 1
DEFAULT_MINOR = 0xFFFF

_GET_QDISC, _GET_CLASS = 38, 42
_REQUEST_DUMP = 0x301
_DONE, _ERROR = 3, 2
_KIND, _OPTIONS = 1, 2
_HTB_PARMS, _HTB_INIT, _HTB_RATE64 = 1, 2, 6
_ROOT = 0xFFFFFFFF
_HEADER, _TCMSG, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxxxiIII"), struct.Struct("=HH")
_RATE = struct.Struct("=BBHhHI")


@dataclass(frozen=True, slots=True)
class HtbClass:
    """What an HTB class is told: bytes per second, equal for rate and ceiling, and its quantum in bytes."""

    rate: int
    ceil: int
    quantum: int
    overhead: int


def dump(interfaces: Iterable[str]) -> dict[str, dict[int, HtbClass] | None]:
    """Interface → class minor → class; None where HTB 1: is not the root, no key where no interface."""
    indexes = {name: index for index, name in socket.if_nameindex()}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        rooted = {
            index
            for index, handle, parent, _, kind, _ in _messages(netlink, _GET_QDISC, 0)
            if (handle, parent, kind) == (ROOT_MAJOR << 16, _ROOT, b"htb\0")
        }
        found: dict[str, dict[int, HtbClass] | None] = {}
        for name in interfaces:
            index = indexes.get(name)
            if index is not None:
                found[name] = dict(_classes(netlink, index)) if index in rooted else None
        return found


def _classes(netlink: socket.socket, index: int) -> Iterator[tuple[int, HtbClass]]:
    for _, handle, _, _, _, options in _messages(netlink, _GET_CLASS, index):
        htb = dict(_attributes(options))
        parms = htb[_HTB_PARMS]
        rate = _RATE.unpack_from(parms, 0)
        ceil = _RATE.unpack_from(parms, _RATE.size)
        quantum = struct.unpack_from("=I", parms, 2 * _RATE.size + 8)[0]
        wide = struct.unpack("=Q", htb[_HTB_RATE64])[0] if _HTB_RATE64 in htb else rate[5]
        yield handle & 0xFFFF, HtbClass(wide, wide if ceil[5] == rate[5] else ceil[5], quantum, rate[2])


def _messages(netlink: socket.socket, kind: int, index: int) -> Iterator[tuple[int, int, int, int, bytes, bytes]]:
    """Interface index, handle, parent, info, kind and options of each object of a dump."""
    netlink.send(_HEADER.pack(_HEADER.size + _TCMSG.size, kind, _REQUEST_DUMP, 1, 0) + _TCMSG.pack(0, index, 0, 0, 0))
    while True:
        data, offset = netlink.recv(1 << 17), 0
        while offset < len(data):
            length, message, _, _, _ = _HEADER.unpack_from(data, offset)
            if message == _DONE:
                return
            if message == _ERROR:
                raise OSError(-struct.unpack_from("=i", data, offset + _HEADER.size)[0], "traffic control dump")
            body = data[offset + _HEADER.size : offset + length]
            _, of, handle, parent, info = _TCMSG.unpack_from(body)
            attributes = dict(_attributes(body[_TCMSG.size :]))
            yield of, handle, parent, info, attributes.get(_KIND, b""), attributes.get(_OPTIONS, b"")
            offset += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
