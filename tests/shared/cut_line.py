"""A line to a server that is cut at a chosen word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Line:
    """A TCP relay. `word` cuts it, before or after the server has had it; while it is `down` nobody gets through."""

    host: str
    server_port: int
    port: int = 0
    word: bytes = b""
    delivers: bool = False
    """Whether the word still arrives; its answer never does."""
    stays_down: bool = False
    down: bool = False
    cuts: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.close()
            return
        there, back = await asyncio.open_connection(self.host, self.server_port)
        both = asyncio.gather(self._requests(reader, back), self._answers(there, writer), return_exceptions=True)
        self._open |= {writer, back}
        await both
        self._open -= {writer, back}
        writer.close()
        back.close()

    async def _requests(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            if self.word and self.word in data:
                await self._cut(data, sink)
                return
            sink.write(data)
        sink.close()

    async def _cut(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        """The answer has nowhere to go before the server has the question."""
        self.word, self.cuts, self.down = b"", self.cuts + 1, self.stays_down
        for each in self._open - {sink}:
            each.transport.abort()
        if self.delivers:
            sink.write(data)
            await sink.drain()
        sink.close()

    async def _answers(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            sink.write(data)
        sink.close()


@asynccontextmanager
async def line_to(port: int, host: str = "127.0.0.1") -> AsyncIterator[Line]:
    line = Line(host, port)
    server = await asyncio.start_server(line.relay, host, 0)
    line.port = server.sockets[0].getsockname()[1]
    async with server:
        yield line
