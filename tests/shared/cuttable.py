"""A TCP path to a database that a test can cut: nothing gets through any more, and nobody is told."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK = 65536


class CuttablePath:
    """Forwards connections to a port of this machine, from a port of its own."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._whole = threading.Event()
        self._whole.set()
        self._ended = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        """Packets are lost from here on, as by a firewall: connections stay and say nothing."""
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    def close(self) -> None:
        self._ended.set()
        self._whole.set()
        self._server.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._carry, args=(near,), daemon=True)
            thread.start()

    def _carry(self, near: socket.socket) -> None:
        self._whole.wait()
        with near, socket.create_connection(("127.0.0.1", self._to)) as far:
            other = {near: far, far: near}
            while not self._ended.is_set():
                ready, _, _ = select.select([near, far], [], [], 0.1)
                for each in ready:
                    self._whole.wait()
                    try:
                        data = each.recv(CHUNK)
                        if not data:
                            return
                        other[each].sendall(data)
                    except OSError:
                        return


@contextmanager
def cuttable(port: int, count: int) -> Iterator[tuple[CuttablePath, ...]]:
    """So many paths to a port; gone afterwards."""
    paths = tuple(CuttablePath(port) for _ in range(count))
    try:
        yield paths
    finally:
        for each in paths:
            each.close()
