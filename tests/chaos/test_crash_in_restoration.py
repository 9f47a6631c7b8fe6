"""A controller killed at every instant of a restoration."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash_points import enumerated
from cycles import restorations
from small_domain import ring

from controller.core.model import Isolation


@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.timeout(300)
def test_restoration(tmp_path: Path, isolation: Isolation) -> None:
    enumerated(ring(), tmp_path, *restorations(isolation))
