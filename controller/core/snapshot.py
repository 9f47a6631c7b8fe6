"""What planning sees: the network at one instant, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from controller.core.ids import Ids
from controller.core.layers import Layers
from controller.core.otn import Ledger
from controller.core.records import Record
from controller.core.segments.igp import Underlay
from controller.core.segments.locators import underlay_of
from controller.core.topology import Topology


@dataclass(frozen=True)
class Snapshot:
    """The network at one instant, as planning sees it."""

    topology: Topology
    ledger: Ledger
    ids: Ids
    records: Mapping[str, Record]
    now: datetime
    kept: Layers | None = None
    """The layers in step with topology and ledger, where somebody keeps them so."""
    routes: tuple[Underlay, ...] = ()
    """The underlay in force, and the one to follow, where somebody keeps them: lists keep their path in each."""

    @cached_property
    def layers(self) -> Layers:
        return self.kept or Layers.of(self.topology, self.ledger)

    @cached_property
    def underlays(self) -> tuple[Underlay, ...]:
        return self.routes or (underlay_of(self.topology, self.layers.packet),)
