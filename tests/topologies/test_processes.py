"""Programs of the lab that come before others: as far as that is permitted, and they run in any case."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

import pytest

from topologies.processes import favoured, realtime

POWERLESS = ("setpriv", "--bounding-set=-all")
TELL = """
import os
print(os.sched_getscheduler(0), os.sched_getparam(0).sched_priority, os.nice(0))
"""


def told(words: Sequence[str]) -> list[int]:
    """Policy, real-time priority and nice value of a program that was started so, in a session of its own."""
    command = [*words, "python3", "-c", TELL]
    done = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_programs_come_before_others() -> None:
    assert told(favoured()) == [os.SCHED_OTHER, 0, -20]
    assert told(realtime(3))[:2] == [os.SCHED_RR, 3]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_programs_run_where_it_is_not_permitted() -> None:
    nice = os.nice(0)
    assert told([*POWERLESS, *favoured()]) == [os.SCHED_OTHER, 0, nice]
    assert told([*POWERLESS, *realtime(3)]) == [os.SCHED_OTHER, 0, nice]
