"""A controller killed at every instant of a corridor's life, from its creation to its removal."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash_points import enumerated
from cycles import life, resizes
from small_domain import chain, ring

from controller.core.model import Isolation


@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.timeout(300)
def test_life(tmp_path: Path, isolation: Isolation) -> None:
    enumerated(ring(), tmp_path, *life(isolation))


@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.timeout(300)
def test_resizes(tmp_path: Path, isolation: Isolation) -> None:
    """Over three hops, where there is more than one line card to agree with."""
    enumerated(chain(), tmp_path, *resizes(isolation))
