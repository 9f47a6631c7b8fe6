"""The target's side of the liveness engine: starts it with the first session, tells it what stands, hears its news."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from controller.linux.liveness.messages import Framed, Watch

log = logging.getLogger(__name__)

RESTART_S = 0.5
"""After an engine that ended by itself."""
_TAKES_S = 5.0
_PROGRAM = "controller.linux.liveness"

News = dict[str, list[dict[str, Any]]]
"""`sessions` and `policies`, in the words of the contract."""


class PathWatch:
    """`read` says what stands in the kernel, in any thread; `tell` is called in the event loop's thread with news."""

    def __init__(self, read: Callable[[], Watch], tell: Callable[[News], None]) -> None:
        self._read = read
        self._tell = tell
        self._lock = threading.Lock()
        """Of what follows: entries are written in a thread of their own."""
        self._last = Watch({}, {}, (), {})
        self._engine: subprocess.Popen[bytes] | None = None
        self._stream: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heard: Framed | None = None
        self._restart: asyncio.TimerHandle | None = None
        self._sessions: dict[int, dict[str, Any]] = {}
        self._policies: dict[int, dict[str, Any]] = {}

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """To be called in the event loop; takes up what an earlier target has left."""
        self._loop = loop
        self.follow()

    def close(self) -> None:
        """To be called in the event loop. The engine ends with its socket, and leaves traffic where it is."""
        if self._restart is not None:
            self._restart.cancel()
        self._drop()

    def follow(self) -> None:
        """Tell the engine what stands now. Without a session there is none, and none is started."""
        self._say(self._read())

    def _say(self, watch: Watch) -> None:
        assert self._loop is not None
        with self._lock:
            self._last = watch
            if self._engine is None and not watch.sessions and not watch.policies:
                return
            if self._engine is None:
                self._begin()
            assert self._stream is not None
            assert self._engine is not None
            try:
                # The engine reads at once: only one that is stopped lets this wait.
                self._stream.sendall(watch.encoded())
            except OSError as error:
                # Half a line may be with it: another one begins anew.
                log.error("the liveness engine takes no entries: %s", error)
                self._engine.kill()
        self._loop.call_soon_threadsafe(self._forget, watch)

    def everything(self) -> News:
        """All that the engine has said and still holds."""
        return {"sessions": list(self._sessions.values()), "policies": list(self._policies.values())}

    # ---- the engine

    def _begin(self) -> None:
        assert self._loop is not None
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._engine = subprocess.Popen(
                [sys.executable, "-m", _PROGRAM, str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
            )
        finally:
            its.close()
        ours.settimeout(_TAKES_S)
        self._stream = ours
        self._loop.call_soon_threadsafe(self._listen, ours)

    def _listen(self, stream: socket.socket) -> None:
        # A socket of its own to hear by, since entries are written blocking.
        self._heard = Framed(stream.dup())
        assert self._loop is not None
        self._loop.add_reader(self._heard.socket.fileno(), self._hear)

    def _hear(self) -> None:
        assert self._heard is not None
        lines = self._heard.receive()
        if lines is None:
            self._ended()
            return
        for news in lines:
            self._sessions |= {item["session"]: item for item in news["sessions"]}
            self._policies |= {item["policy"]: item for item in news["policies"]}
            self._tell(news)

    def _ended(self) -> None:
        log.error("the liveness engine has ended: another one is started")
        self._drop()
        assert self._loop is not None
        self._restart = self._loop.call_later(RESTART_S, self._begin_again)

    def _begin_again(self) -> None:
        """By what is known: the kernel is read in another thread, and holds nothing else."""
        on_backup = [number for number, item in self._policies.items() if item["on_backup"]]
        policies = self._last.policies
        self._say(replace(self._last, switched={n: policies[n].backup for n in on_backup if n in policies}))

    def _drop(self) -> None:
        if self._heard is not None and self._loop is not None:
            self._loop.remove_reader(self._heard.socket.fileno())
            self._heard.socket.close()
        self._heard = None
        with self._lock:
            engine, self._engine = self._engine, None
            stream, self._stream = self._stream, None
            if stream is not None:
                stream.close()
            if engine is not None:
                engine.kill()
                engine.wait()

    def _forget(self, watch: Watch) -> None:
        self._sessions = {n: item for n, item in self._sessions.items() if n in watch.sessions}
        self._policies = {n: item for n, item in self._policies.items() if n in watch.policies}
