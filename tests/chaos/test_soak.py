"""A short soak: what some hundred random operations leave behind is nothing. `make soak` does ten thousand."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import pytest
from soak import KEEP_EVENTS, Look, soaked

OPERATIONS = int(os.environ.get("SOAK", "600"))
SEED = int(os.environ.get("SEED", "1"))
FLAT = 0.05
LONG = 5_000


@pytest.mark.timeout(3600)
def test_random_operations_leave_nothing_behind(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:  # of its own: what ran before is in no figure
        looks, done = process.submit(soaked, tmp_path, OPERATIONS, SEED).result()
    print(f"seed {SEED}: {dict(sorted(done.items()))}")
    for look in looks:
        memory = f"{look.blocks} blocks, {look.resident / 1e6:.1f} MB resident"
        print(f"{look.operations} operations: {memory}, file {look.file_bytes} bytes, {look.stored}")
    _, warm, *_, last = looks
    assert not _grown(warm, last), "what is kept grows"
    assert last.tasks == warm.tasks
    if OPERATIONS >= LONG:  # before, caches that fill tell as much as a leak would
        assert _blocks_per_operation(looks[1:]) < 1, "an object is left behind by each operation"
    assert abs(last.blocks - warm.blocks) < FLAT * warm.blocks
    assert abs(last.resident - warm.resident) < FLAT * warm.resident
    assert all(look.stored["events"] <= KEEP_EVENTS for look in looks)
    bounded = ("events", "resting_ids", "wiring")  # by retention, by how many ids were ever in use at once, by links
    assert not [name for name, count in last.stored.items() if name not in bounded and count != warm.stored[name]]
    assert last.file_bytes < (1 + FLAT) * warm.file_bytes


def _blocks_per_operation(looks: list[Look]) -> float:
    """The median of what any two looks say (Theil and Sen): a table that doubles once moves few of them."""
    pairs = combinations(looks, 2)
    return median((late.blocks - early.blocks) / (late.operations - early.operations) for early, late in pairs)


def _grown(warm: Look, last: Look) -> dict[str, int]:
    """More than one for a hundred operations, which is no cache that fills, nor chance."""
    most = max(3, (last.operations - warm.operations) // 100)
    return {name: count for name, count in (last.containers - warm.containers).items() if count > most}
