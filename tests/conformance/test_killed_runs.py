"""A test run that is killed has no time to tidy up: what it started ends with it, the next run does the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import machine
import namespaces
import pytest
from private_switch import alive
from waiting import wait_until

pytestmark = pytest.mark.root
RUN = """
import os, sys
from pathlib import Path
from targets import Linux
target = Linux(Path(sys.argv[1]), {1: "06:00:00:01:00:01"})
target.lay_cables()
target.start()
print(target.namespace, target._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
LIVES = ("cf-somebody-else-4194305", f"cf-alive-{os.getpid()}", "cf-without-pid")


@pytest.fixture
def others() -> Iterator[None]:
    """Namespaces that no dead run has left."""
    machine.require("ip", "setpriv")
    for name in LIVES:
        subprocess.run(["ip", "netns", "add", name], check=True)
    yield
    for name in LIVES:
        namespaces.delete(name)


def test_a_killed_run_leaves_nothing(others: None, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left, pid = killed.stdout.split()
    try:
        wait_until(lambda: not alive(int(pid)), "the end of the target")
        assert Path("/run/netns", left).exists()
        namespaces.sweep()
        standing = os.listdir("/run/netns")
        assert left not in standing
        assert set(LIVES) <= set(standing)
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
        namespaces.delete(left)
