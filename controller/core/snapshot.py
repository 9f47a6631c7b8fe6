"""What planning sees: the network at one instant, as one value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from controller.core.ids import Ids
from controller.core.layers import Layers
from controller.core.maintenance import stood_on
from controller.core.model import Status
from controller.core.otn import Ledger
from controller.core.records import Record
from controller.core.segments.encoder import Encoder
from controller.core.segments.igp import Underlay
from controller.core.segments.locators import sids_of, underlay_of
from controller.core.topology import DrainChanged, LinkChanged, Topology


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
    known_lists: Encoder | None = None
    """For these very routes and routers, where somebody keeps what was encoded."""

    def lifted(self, names: Iterable[str]) -> Snapshot:
        """As if none of these were kept free for maintenance."""
        topology = self.topology
        for name in topology.drained.intersection(names):
            topology = topology.apply(DrainChanged(name, False))
        return replace(self, topology=topology)

    def where_it_stands(self, corridor: str) -> Snapshot:
        """What a corridor stands on already is not kept from it: it may stay, but go nowhere else that is drained."""
        record = self.records.get(corridor)
        if not self.topology.drained or record is None or record.target is None:
            return self
        return self.lifted(stood_on(self.topology, record.target))

    def without(self, links: Iterable[str]) -> Snapshot:
        """As if these links were down."""
        topology = self.topology
        for name in links:
            topology = topology.apply(LinkChanged(name, Status.DOWN))
        return replace(self, topology=topology, kept=self.layers.observed(self.topology, topology))

    @cached_property
    def layers(self) -> Layers:
        return self.kept or Layers.of(self.topology, self.ledger)

    @cached_property
    def underlays(self) -> tuple[Underlay, ...]:
        return self.routes or (underlay_of(self.topology, self.layers.packet),)

    @cached_property
    def encoder(self) -> Encoder:
        return self.known_lists or Encoder(sids_of(self.topology, self.ids), self.underlays)
