"""What a test needs of the machine it runs on."""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRE_BMV2 = "CORRIDOR_REQUIRE_BMV2"
"""Environment variable; 1: a test that this machine cannot run fails."""


def require(*tools: str, root: bool = True) -> None:
    """Root, for network namespaces, and these on the path; the test is skipped, or fails, without them."""
    lacking = ["root"] if root and os.geteuid() else []
    lacking += [tool for tool in tools if shutil.which(tool) is None]
    if not lacking:
        return
    if os.environ.get(REQUIRE_BMV2) == "1":
        pytest.fail(f"required, and not there: {', '.join(lacking)}")
    pytest.skip(f"needs {', '.join(lacking)}")
