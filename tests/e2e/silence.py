"""Programs of the lab that say nothing for a while."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from topologies.lab import Lab


@contextmanager
def silenced(lab: Lab, process: str) -> Iterator[None]:
    """It is there, holds its connections, and says nothing."""
    pid, alive = lab.status().processes[process]
    assert alive
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
