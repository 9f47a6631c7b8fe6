"""A running lab for the tests of this directory, with stubs in place of the agents."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from stub_lab import new_run_dir, start_command

from topologies.lab import Lab

NEEDED = ("mnexec", "ovs-vswitchd", "ethtool", "tcpdump", "tshark")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [program for program in NEEDED if not shutil.which(program)]
    reason = "needs root" if os.geteuid() else f"needs {', '.join(missing)}" if missing else ""
    for item in items:
        if reason and item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """The metro lab, brought up by a process that has ended since."""
    run_dir = new_run_dir("lab")
    subprocess.run(start_command(run_dir), check=True, timeout=60)
    lab = Lab.load(run_dir)
    yield lab
    lab.down()
