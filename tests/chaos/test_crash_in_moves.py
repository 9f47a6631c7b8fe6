"""A controller killed at every instant of a move or a defragmentation."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash_points import enumerated
from cycles import defragmentations, moves
from small_domain import ring

from controller.core.model import Isolation


@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.timeout(300)
def test_moves(tmp_path: Path, isolation: Isolation) -> None:
    enumerated(ring(), tmp_path, *moves(isolation))


@pytest.mark.timeout(300)
def test_defragmentation(tmp_path: Path) -> None:
    enumerated(ring(), tmp_path, *defragmentations())
