"""A PostgreSQL of the test's own: real, in a directory that goes with it, on a free port and a socket beside it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

ROOT = Path("/usr/lib/postgresql")
START_S = 60.0
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
        self._identity = _unprivileged()
        if self._identity:
            os.chown(self.directory, self._identity["user"], self._identity["group"])
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
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints of it; `CalledProcessError` where it fails."""
        where = "-h", str(self.directory), "-p", str(self.port), "-U", "corridor", "-d", database
        return self._run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *where, "-c", statement)

    def start(self) -> None:
        """Return when it answers. It goes with the test's own process, however that ends."""
        command = str(self._programs / "postgres"), "-D", str(self._data)
        with (self.directory / "log").open("ab") as log:
            self._server = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self._identity)
        guard = "sh", "-c", "cat; kill -QUIT $0", str(self._server.pid)
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, **self._identity)
        end = time.monotonic() + START_S
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"PostgreSQL does not start: {(self.directory / 'log').read_text()}")
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
            return self.sql("SELECT 1") == "1\n"
        except subprocess.CalledProcessError:
            return False

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/", **self._identity).stdout


@contextmanager
def running() -> Iterator[Postgres]:
    """A cluster that answers; gone afterwards."""
    cluster = Postgres()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


def _unprivileged() -> dict[str, Any]:
    """Whom `subprocess` shall be; empty: whoever runs the test."""
    if os.getuid() != 0:
        return {}
    users = {each.pw_name: each for each in pwd.getpwall()}
    chosen = users.get("postgres") or users["nobody"]
    return {"user": chosen.pw_uid, "group": chosen.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
