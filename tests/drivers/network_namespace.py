"""Raw sockets inside a network namespace, opened from outside."""

from __future__ import annotations

import ctypes
import socket
import threading

_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 3


def raw_socket(namespace: str, interface: str) -> socket.socket:
    """A packet socket on an interface; it lives on in the namespace that it was opened in.

    Only the thread that opens it goes there, so the process stays where it is.
    """
    opened: list[socket.socket] = []

    def open_there() -> None:
        with open(f"/run/netns/{namespace}") as handle:
            if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns {namespace}")
        opened.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)))
        opened[0].bind((interface, 0))

    thread = threading.Thread(target=open_there)
    thread.start()
    thread.join()
    return opened[0]
