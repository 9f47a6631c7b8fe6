"""A PostgreSQL of the test's own: real, in a directory that goes with it, on a free port and a socket beside it."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

ROOT = Path("/usr/lib/postgresql")
START_S = 60.0
ANSWER_S = 30.0
ABSENT = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # processes crash here, the machine does not
    "shared_buffers": "16MB",
    "max_connections": "60",
    "autovacuum": "off",
}


def require() -> Path:
    """Programs of the newest version installed; without one a test is skipped, and in continuous integration fails."""
    found = [each.parent for each in ROOT.glob("*/bin/initdb")]
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no PostgreSQL: the Debian package postgresql")
    return max(found, key=lambda each: int(each.parent.name))


class Postgres:
    """One cluster. Root may not run it: then it runs as the package's own user, or as nobody."""

    def __init__(self) -> None:
        self._programs = require()
        self.directory = Path(tempfile.mkdtemp(prefix="pg-"))
        self._as_user = _unprivileged(self.directory)
        self.port = _free_port()
        self._names = count(1)
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        """Ends the server when the test's process is gone, and with it the pipe between them."""
        options = "--auth=trust", "--username=corridor", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"
        self._run("initdb", *options, "-D", str(self._data))
        chosen = SETTINGS | {"port": str(self.port), "unix_socket_directories": str(self.directory)}
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.writelines(f"{name} = '{value}'\n" for name, value in chosen.items())

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://corridor@127.0.0.1:{self.port}/{database}"

    def create(self) -> str:
        """URL of a new, empty database."""
        name = f"test{next(self._names)}"
        try:
            self.sql(f"CREATE DATABASE {name}")
        except ABSENT as error:
            raise AssertionError(f"PostgreSQL makes no database {name}: {error!r}; {self._log()}") from error
        return self.url(name)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows it gives. In a thread with a loop of its own: a test that calls it may be running in one."""

        async def ask() -> list[tuple[Any, ...]]:
            url = self.url(database)
            connection = await asyncpg.connect(url, timeout=ANSWER_S, command_timeout=ANSWER_S, ssl=False)
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, ask()).result()

    def start(self) -> None:
        """Return when it answers. It goes with the test's own process, however that ends."""
        command = *self._as_user, str(self._programs / "postgres"), "-D", str(self._data)
        with (self.directory / "log").open("ab") as log:
            self._server = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        guard = *self._as_user, "sh", "-c", "cat; kill -QUIT $0", str(self._server.pid)
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE)
        end = time.monotonic() + START_S
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"PostgreSQL does not start: {self._log()}")
            time.sleep(0.02)

    def stop(self, immediate: bool = False) -> None:
        """In order, or as in a crash: the next start recovers from the log."""
        if self._server is not None and self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._server.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
            self._server.wait(START_S)
            self._server = None

    def restart(self, immediate: bool = False) -> None:
        self.stop(immediate)
        self.start()

    def remove(self) -> None:
        self.stop(immediate=True)
        shutil.rmtree(self.directory)

    def _answers(self) -> bool:
        try:
            return self.sql("SELECT 1") == [(1,)]
        except ABSENT:
            return False

    def _log(self) -> str:
        return (self.directory / "log").read_text()

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
        assert done.returncode == 0, f"{program} ends with {done.returncode}: {done.stdout}"


@contextmanager
def running() -> Iterator[Postgres]:
    """A cluster that answers; gone afterwards."""
    cluster = Postgres()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


def _unprivileged(directory: Path) -> tuple[str, ...]:
    """Gives it to whom the cluster runs as; the program that makes others run as he does. Nothing unless root tests.

    Not `subprocess`'s own `user`: with it a child is made by `fork`, which runs what gRPC has to do at a fork, in a
    process of many threads, and may crash before the program begins. Without it is `vfork`, which runs nothing.
    """
    if os.getuid() != 0:
        return ()
    users = {each.pw_name: each for each in pwd.getpwall()}
    chosen = users.get("postgres") or users["nobody"]
    os.chown(directory, chosen.pw_uid, chosen.pw_gid)
    return "setpriv", f"--reuid={chosen.pw_uid}", f"--regid={chosen.pw_gid}", "--clear-groups", "--"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
