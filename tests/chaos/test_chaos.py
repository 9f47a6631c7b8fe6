"""Chaos in the lab: random faults by a seed, changes all the while. `make chaos SEED=7` does ten minutes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import postgres
import pytest
from corridor_lab import PROGRAMS, in_order, require_lab
from cuttable import cuttable
from faults import System
from lab_chaos import Chaos

from topologies.lab import temporary
from topologies.system import sharing

METRO = Path(__file__).parents[2] / "topologies" / "metro-beijing.yaml"
SEED = int(os.environ.get("SEED", "1"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """Two controllers over the metro lab, each with a path of its own to the database."""
    require_lab("linux")
    with temporary(METRO, "linux", tmp_path / "lab", PROGRAMS) as lab, postgres.running() as cluster:
        in_order(lab)
        with cuttable(cluster.port, 2) as paths:
            url = cluster.create()
            reached = [url.replace(f":{cluster.port}/", f":{path.port}/") for path in paths]
            with sharing(lab, METRO, reached) as controllers:
                yield System(lab, cluster, controllers, tuple(paths))


@pytest.mark.e2e
@pytest.mark.timeout(900)
@pytest.mark.chaos
def test_chaos(system: System) -> None:
    chaos = Chaos(system, SEED)
    try:
        chaos.run(SECONDS)
    finally:
        print(f"\nseed {SEED}, {len(chaos.caller.history)} operations of the caller; * is hit by the fault")
        for each in chaos.rounds:
            print(each)
        print(f"again: make chaos SEED={SEED} CHAOS_SECONDS={SECONDS:g}")
