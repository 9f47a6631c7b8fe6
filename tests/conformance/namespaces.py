"""The network namespaces of a test run: each says what it is, and by its process id whose."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

_OURS = re.compile(r"cf-[a-z0-9]+-(\d+)")


def own(name: str) -> str:
    """The name of this run's namespace for `name`."""
    return f"cf-{name}-{os.getpid()}"


def delete(namespace: str) -> None:
    """Whether it is there or not."""
    subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)


def sweep() -> None:
    """Delete what runs have left that had no time to: their processes have ended with them."""
    for path in Path("/run/netns").glob("cf-*"):
        found = _OURS.fullmatch(path.name)
        if found and not Path("/proc", found[1]).exists():
            delete(path.name)
