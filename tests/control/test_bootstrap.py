"""From cables to a live graph: what is UP was heard both ways, what is not planned is never used."""

from __future__ import annotations

from running_controller import DOMAIN, Controller, corridor, until
from simulated_network import SimulatedNetwork

from controller.core.model import LinkKind, Status


async def test_every_planned_link_comes_up(controller: Controller) -> None:
    assert not controller.links_not(Status.UP)
