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
        self._far: set[asyncio.StreamWriter] = set()
        """Of these, those to the device."""
        self._half_open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_unix_server(self._connected, self._listen)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        self.cut()
        for writer in self._half_open:
            writer.transport.abort()

    def cut(self) -> None:
        """End all connections; new ones may come at once."""
        for writer in self._writers:
            writer.transport.abort()

    def lose_the_path(self) -> None:
        """End the controllers' side of all connections; the device hears nothing of it."""
        self._half_open |= self._far
        for writer in self._writers - self._far:
            writer.transport.abort()

    async def _connected(self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # the device is away: so is this connection
            far_reader, far_writer = await asyncio.open_unix_connection(self._device)
            self._far.add(far_writer)
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
            self._far.discard(writer)
            if writer not in self._half_open:
                writer.close()
