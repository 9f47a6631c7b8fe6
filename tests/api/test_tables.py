"""Tables for a terminal: what they say of routers and of a corridor's ends."""

from __future__ import annotations

import pytest
from fake_service import TOPOLOGY
from rich.console import Console, RenderableType

from controller.api.tables import corridor_details, topology_tables
from controller.core.model import (
    BackupPath,
    Capabilities,
    Corridor,
    Enforcement,
    Leg,
    Node,
    NodeKind,
    SegmentList,
    TopologyView,
)


def shown(table: RenderableType) -> str:
    console = Console(width=300, no_color=True, legacy_windows=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def line(text: str, word: str) -> str:
    (found,) = [each for each in text.splitlines() if word in each]
    return found


def test_a_topology_tells_everything_that_routers_can_do() -> None:
    text = shown(topology_tables(TOPOLOGY))
    told = "polices, is told neighbours, sees remote failures, 2 carriers, 1600 bytes, not fenced"
    assert line(text, "zgc-r").rstrip().endswith(told)
    assert "carriers" not in line(text, " otn ")
    able = shown(topology_tables(TopologyView("t", "b", (Node("domains/d/nodes/r", NodeKind.ROUTER),))))
    told = "shapes, resolves neighbours, sees its own ports, 3 carriers, 9000 bytes, fenced"
    assert line(able, " router ").rstrip().endswith(told)


@pytest.mark.parametrize("field", Capabilities.__dataclass_fields__)
def test_no_capability_is_left_out(field: str) -> None:
    """Two routers that differ in one alone do not look alike."""
    (router, _) = TOPOLOGY.nodes
    default, other = Capabilities(), {field: getattr(router.capabilities, field)}
    assert getattr(default, field) != other[field]
    texts = {
        shown(topology_tables(TopologyView("t", "b", (Node("n/r", NodeKind.ROUTER, capabilities=able),))))
        for able in (default, Capabilities(**other))
    }
    assert len(texts) == 2


def test_a_corridor_tells_its_backup() -> None:
    nodes = ("domains/d/nodes/a", "domains/d/nodes/m", "domains/d/nodes/z")
    links = ("domains/d/links/a-m", "domains/d/links/m-z")
    segments = SegmentList(("fcbb:bb00:9:e001::",), "uDT6(z, vrf 1)", 40)
    leg = Leg("d", 0, backup=BackupPath(nodes, links, segments, latency_us=1234))
    text = shown(corridor_details(Corridor("tenants/t/corridors/c", legs=(leg,))))
    assert "a → m → z" in line(text, "backup")
    assert "1.234 ms" in line(text, "backup")
    assert "a-m m-z" in text
    assert "fcbb:bb00:9:e001::" in line(text, "segments")


def test_a_corridor_tells_what_each_end_does_with_excess() -> None:
    ends = ("domains/d/nodes/a", "domains/d/nodes/m", "domains/d/nodes/z")
    leg = Leg("d", 0, ends, forward_enforcement=Enforcement.POLICED, reverse_enforcement=Enforcement.SHAPED)
    text = shown(corridor_details(Corridor("tenants/t/corridors/c", legs=(leg,))))
    assert line(text, "excess").rstrip().endswith("policed at a, shaped at z")
