"""Many frames at once through a target, and everything that came out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from frames import from_core, from_host, inner6, outer
from packet_world import A6, Z6
from targets import Target

_MARK = b"the end of a batch"


def _marker(port: int) -> bytes:
    """A packet that certainly leaves, and tells that everything before it at its port was looked at."""
    if port in (2, 3):
        return from_host(port, inner6(src=Z6, dst=A6) / _MARK)
    return from_core(outer("fcbb:bb00:1:e107::") / inner6(dst=A6) / _MARK, port)


_LAST = {
    1: from_core(outer("fcbb:bb00:1:2::") / inner6() / _MARK),
    4: from_core(outer("fcbb:bb00:1:3::") / inner6() / _MARK),
    2: from_core(outer("fcbb:bb00:1:e107::") / inner6(dst=A6) / _MARK),
    3: from_core(outer("fcbb:bb00:1:e108::") / inner6(dst=A6) / _MARK),
}
"""By the port by which they leave: frames of one port do not overtake each other."""


def what_comes_out(target: Target, arrivals: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """All frames, in order by port. Nothing is waited for but markers, so that "nothing" is a fact."""
    ports = sorted({port for port, _ in arrivals})
    with _one_processor():
        for port, frame in arrivals:
            target.send(port, frame)
        for port in ports:
            target.send(port, _marker(port))
        found = _until_marked(target, len(ports))
        for frame in _LAST.values():
            target.send(1, frame)
        return found + _until_marked(target, len(_LAST))


@contextmanager
def _one_processor() -> Iterator[None]:
    """A kernel forwards on the processor that a frame is sent from: on two of them frames overtake each other."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _until_marked(target: Target, markers: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while markers:
        received = target.receive(1)  # or more, where they are there
        assert received, "a marker was lost"
        others = [each for each in received if _MARK not in each[1]]
        markers -= len(received) - len(others)
        found += others
    return found
