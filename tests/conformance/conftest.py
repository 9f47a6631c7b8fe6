"""One target for a test module, in its namespace, and what it holds when the tests begin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from exceptions import bearable
from packet_world import ENTRIES, MAC
from targets import TARGETS, Target, running

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "covers(*actions): tables and actions, `table.action`, that a test is about")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever runs on a target needs a namespace for it. Items of all folders come by here."""
    for item in items:
        if HERE in item.path.parents and "bare_target" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.root)


@pytest.fixture(scope="module", params=TARGETS, ids=lambda kind: kind.name)
def bare_target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A router that runs, without a pipeline."""
    with running(request.param, tmp_path_factory.mktemp(request.param.name), MAC) as target:
        yield target


@pytest.fixture(scope="module")
def programmed(bare_target: Target) -> Target:
    """A router with the entries of `packet_world`, as far as the target can bear them."""
    bare_target.insert(bearable(bare_target.name, ENTRIES))
    return bare_target


@pytest.fixture
def target(programmed: Target) -> Target:
    """The router without what an earlier test may have left in the sockets."""
    programmed.drain()
    return programmed
