"""A machine that cannot run a target: green where nobody said that it must, never where somebody did."""

from __future__ import annotations

import os

import pytest
from machine import REQUIRE_BMV2
from targets import Bmv2, Linux, Target, require

from topologies.bmv2 import PROGRAM

NO_ROOT, NO_TOOLS = "root", "tools"


@pytest.fixture(params=[NO_ROOT, NO_TOOLS])
def lacking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What this machine lacks, and nothing else."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000 if request.param == NO_ROOT else 0)
    if request.param == NO_TOOLS:
        monkeypatch.setenv("PATH", "")
    else:
        monkeypatch.setattr("shutil.which", lambda tool: f"/bin/{tool}")
    return str(request.param)


def outcome(kind: type[Target]) -> pytest.ExceptionInfo[BaseException]:
    """Both are caught: a skip that goes on would make the test that asks for a failure a skipped one."""
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception)) as raised:
        require(kind)
    return raised


@pytest.mark.parametrize("kind", [Linux, Bmv2])
def test_what_is_missing_skips(lacking: str, kind: type[Target], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE_BMV2, raising=False)
    assert outcome(kind).type is pytest.skip.Exception


@pytest.mark.parametrize(("kind", "tool"), [(Linux, "nft"), (Bmv2, PROGRAM)])
def test_what_is_required_fails(lacking: str, kind: type[Target], tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE_BMV2, "1")
    raised = outcome(kind)
    assert raised.type is pytest.fail.Exception
    assert (tool if lacking == NO_TOOLS else "root") in str(raised.value)
