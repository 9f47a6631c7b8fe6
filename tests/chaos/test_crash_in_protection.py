"""A controller killed at every instant of a change of protection."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash_points import enumerated
from cycles import protection
from small_domain import ring

from controller.core.model import Isolation


@pytest.mark.timeout(300)
def test_protection(tmp_path: Path) -> None:
    enumerated(ring(), tmp_path, *protection(Isolation.HARD))
