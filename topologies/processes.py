"""Processes that outlive the command which starts them, and that are found and ended by who they are, never by name.

A process is a pid and the time the kernel started it, so that a reused pid is another process. All processes of a
lab carry its token in their environment: even what an interrupted start had no time to write down is found.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

TOKEN = "CORRIDOR_LAB"
"""Environment variable that holds the token."""
GRACE_S = 1.0
POLL_S = 0.005

_STATE, _START_TIME = 0, 19
"""Fields of /proc/PID/stat after the command's closing parenthesis (proc(5): 3 and 22)."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `started` is in clock ticks since boot."""

    pid: int
    started: int

    def alive(self) -> bool:
        """It runs: neither gone, nor a zombie, nor another process with its pid."""
        fields = _stat(self.pid)
        return fields is not None and fields[_STATE] not in "ZX" and int(fields[_START_TIME]) == self.started

    def signal(self, number: signal.Signals) -> None:
        """Signal it where it is alive."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def realtime(priority: int) -> list[str]:
    """The first words of a command that is to run before all ordinary programs, where that is permitted."""
    before = f"chrt --rr {priority}"
    return ["sh", "-c", f'{before} true 2>/dev/null && exec {before} "$@"; exec "$@"', "sh"]


def favoured() -> list[str]:
    """The first words of a command that is to get nearly all the time it asks for, and not all there is: permitting.

    A nice value counts only within a session where the kernel shares processors out by session first
    (sched_autogroup_enabled), and what `spawn` starts has its own. So the session gets one too.
    """
    session = "echo -20 >/proc/$$/autogroup"
    return ["sh", "-c", f'{{ {session}; }} 2>/dev/null; exec nice -n -20 "$@"', "sh"]


def environment(token: str) -> dict[str, str]:
    """Ours, and the token: what every process of a lab gets, however short it lives."""
    return {**os.environ, TOKEN: token}


def spawn(argv: Sequence[str], token: str, log: Path) -> Process:
    """Start a program in a session of its own: no terminal, no input, output to `log`. OSError where it is missing."""
    null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    output = (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    errors = (os.POSIX_SPAWN_DUP2, 1, 2)
    pid = os.posix_spawnp(argv[0], list(argv), environment(token), file_actions=[null, output, errors], setsid=True)
    fields = _stat(pid)
    return Process(pid, int(fields[_START_TIME]) if fields else 0)


def marked(token: str) -> Iterator[Process]:
    """All living processes that carry the token, but this one."""
    mark = f"{TOKEN}={token}".encode()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        fields = _stat(int(entry))
        if fields is not None and mark in _environment(int(entry)).split(b"\0"):
            process = Process(int(entry), int(fields[_START_TIME]))
            if process.alive():
                yield process


def end(processes: Iterable[Process]) -> None:
    """Ask them to end, wait a little, end them."""
    processes = tuple(processes)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            process.signal(number)
        deadline = time.monotonic() + GRACE_S
        while any(process.alive() for process in processes) and time.monotonic() < deadline:
            time.sleep(POLL_S)


def collect(processes: Iterable[Process]) -> None:
    """Take the exit status of those that `spawn` started in this very process, so that no zombie stays."""
    for process in processes:
        try:
            os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:
            continue


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back interrupts, so that taking down is not itself cut short."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def terminated_as_exit() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack as SIGINT does, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _exit) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
