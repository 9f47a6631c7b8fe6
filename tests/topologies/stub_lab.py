"""The metro lab with stubs in place of its agents: how tests start it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from topologies.lab import Programs

STUB = (sys.executable, str(Path(__file__).with_name("stub_target.py")))
STUBS = Programs(router=STUB, line_card=STUB, bmv2=STUB)
METRO = Path(__file__).parents[2] / "topologies" / "metro-beijing.yaml"


def start_command(run_dir: Path) -> list[str]:
    """A program that brings the metro lab up and ends."""
    code = (
        "import sys; from pathlib import Path; from topologies.lab import Programs, up;"
        "stub = tuple(sys.argv[3:]); up(sys.argv[1], run_dir=Path(sys.argv[2]), programs=Programs(stub, stub))"
    )
    return [sys.executable, "-c", code, str(METRO), str(run_dir), *STUB]


def new_run_dir(purpose: str) -> Path:
    """Short enough for the names of Unix sockets."""
    return Path(f"/run/ld-{purpose}-{os.getpid()}")
