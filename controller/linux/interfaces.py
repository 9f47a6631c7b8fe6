"""The ports of the target: P4 port number to interface of the namespace."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Mapping

from controller.core.addresses import mac_text
from controller.linux.rejected import invalid

_SIOCGIFHWADDR = 0x8927


class Ports:
    def __init__(self, by_number: Mapping[int, str]) -> None:
        self._by_number = dict(by_number)
        self._numbers = {name: number for number, name in by_number.items()}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._numbers)

    def name(self, number: int) -> str:
        """Raises `Rejected` for a number that is no port."""
        name = self._by_number.get(number)
        if name is None:
            raise invalid(f"there is no port {number}; ports are {sorted(self._by_number)}")
        return name

    def number(self, name: str) -> int | None:
        return self._numbers.get(name)

    def mac(self, name: str) -> int | None:
        """The interface's address as a number; None where there is no such interface now."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFHWADDR, struct.pack("256s", name.encode()))
            except OSError:
                return None
        return int.from_bytes(answer[18:24], "big")

    def require_mac(self, number: int, mac: int) -> None:
        """Raise `Rejected` unless the port's interface has this address."""
        name = self.name(number)
        own = self.mac(name)
        if own is None:
            raise invalid(f"port {number}: there is no interface {name}")
        if own != mac:
            raise invalid(f"port {number} ({name}) has MAC {mac_text(own)}, not {mac_text(mac)}")


def mac_number(text: str) -> int:
    return int(text.replace(":", ""), 16)
