"""The same on PostgreSQL: a controller killed at every instant of a corridor's creation and removal."""

from __future__ import annotations

from collections.abc import Iterator

import postgres
import pytest
from crash_points import enumerated
from cycles import life
from small_domain import ring

from controller.core.model import Isolation


@pytest.fixture
def database() -> Iterator[str]:
    with postgres.running() as cluster:
        yield cluster.create()


@pytest.mark.timeout(300)
def test_creation_and_removal(database: str) -> None:
    base, (created, *_, deleted) = life(Isolation.SOFT)
    enumerated(ring(), database, base, [created, deleted])
