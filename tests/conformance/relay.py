"""A relay between a controller and its device, so that their connection can be cut while both live."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

_CHUNK = 1 << 16


class Relay:
    """As an async context it listens on one Unix socket and carries every connection to another."""

    def __init__(self, listen: Path, device: Path) -> None:
        self.address = f"unix:{listen}"
        self._listen, self._device = listen, device
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_unix_server(self._connected, self._listen)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """End all connections; new ones may come at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # the device is away: so is this connection
            far_reader, far_writer = await asyncio.open_unix_connection(self._device)
            await asyncio.gather(self._carry(near_reader, far_writer), self._carry(far_reader, near_writer))
        near_writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # cut
        finally:
            self._writers.discard(writer)
            writer.close()
