"""A synchronous client of the contract, as the command line needs one."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from controller.api.contract import MAX_MESSAGE_BYTES
from controller.api.endpoints import Endpoints
from controller.api.gen.corridor.v1 import (
    controllers_pb2,
    corridor_pb2,
    corridors_pb2,
    defragmentation_pb2,
    drift_pb2,
    maintenance_pb2,
    topologies_pb2,
    topology_pb2,
)
from controller.api.gen.corridor.v1.controllers_pb2_grpc import ControllersStub
from controller.api.gen.corridor.v1.corridors_pb2_grpc import CorridorsStub
from controller.api.gen.corridor.v1.topologies_pb2_grpc import TopologiesStub
from controller.api.quantities import figure
from controller.core import names

CALL_TIMEOUT_S = 60.0
POLL_S = 0.1


class Unsettled(Exception):
    """The devices did not agree in time, or agreed on a corridor that is down."""


class Client:
    """One channel to the controllers at `endpoint`, addresses with commas between them. Calls raise `grpc.RpcError`."""

    def __init__(self, endpoint: str) -> None:
        self._channel = Endpoints(endpoint, [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)])
        self._corridors = CorridorsStub(self._channel)
        self._topologies = TopologiesStub(self._channel)
        self._controllers = ControllersStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def create(self, request: corridors_pb2.CreateCorridorRequest) -> corridor_pb2.Corridor:
        return self._corridors.CreateCorridor(request, timeout=CALL_TIMEOUT_S)

    def get(self, name: str) -> corridor_pb2.Corridor:
        return self._corridors.GetCorridor(corridors_pb2.GetCorridorRequest(name=name), timeout=CALL_TIMEOUT_S)

    def update(self, request: corridors_pb2.UpdateCorridorRequest) -> corridor_pb2.Corridor:
        return self._corridors.UpdateCorridor(request, timeout=CALL_TIMEOUT_S)

    def switch(self, name: str, profile: str, etag: str) -> corridor_pb2.Corridor:
        request = corridors_pb2.SwitchProfileRequest(name=name, profile=profile, etag=etag)
        return self._corridors.SwitchProfile(request, timeout=CALL_TIMEOUT_S)

    def delete(self, name: str, etag: str) -> corridor_pb2.Corridor:
        request = corridors_pb2.DeleteCorridorRequest(name=name, etag=etag)
        return self._corridors.DeleteCorridor(request, timeout=CALL_TIMEOUT_S)

    def all(self, parent: str) -> Iterator[corridor_pb2.Corridor]:
        """Every corridor of a tenant, page by page."""
        request = corridors_pb2.ListCorridorsRequest(parent=parent)
        while True:
            page = self._corridors.ListCorridors(request, timeout=CALL_TIMEOUT_S)
            yield from page.corridors
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def watch(self, request: corridors_pb2.WatchCorridorsRequest) -> Iterator[corridor_pb2.CorridorEvent]:
        """Goes on at another endpoint, after the last event, where one breaks off."""
        while True:
            try:
                for event in self._corridors.WatchCorridors(request):
                    request.after_sequence = event.sequence
                    yield event
                return
            except grpc.RpcError as error:
                if not self._channel.try_again(error, reads=True):
                    raise

    def controller(self) -> controllers_pb2.Controller:
        return self._controllers.GetController(controllers_pb2.GetControllerRequest(), timeout=CALL_TIMEOUT_S)

    def topology(self, domain: str) -> topology_pb2.Topology:
        request = topologies_pb2.GetTopologyRequest(name=names.topology(domain))
        return self._topologies.GetTopology(request, timeout=CALL_TIMEOUT_S)

    def defragment(self, request: topologies_pb2.DefragmentRequest) -> defragmentation_pb2.Defragmentation:
        """However long its moves take."""
        return self._topologies.Defragment(request)

    def drift(self, domain: str, read_now: bool) -> drift_pb2.Drift:
        """However long devices take to be read."""
        return self._topologies.GetDrift(topologies_pb2.GetDriftRequest(name=names.topology(domain), read_now=read_now))

    def drain(self, name: str, validate_only: bool) -> maintenance_pb2.Draining:
        """However long the moves take."""
        return self._topologies.Drain(topologies_pb2.DrainRequest(name=name, validate_only=validate_only))

    def undrain(self, name: str) -> maintenance_pb2.Draining:
        request = topologies_pb2.UndrainRequest(name=name)
        return self._topologies.Undrain(request, timeout=CALL_TIMEOUT_S)

    def settled(self, corridor: corridor_pb2.Corridor, timeout_s: float) -> corridor_pb2.Corridor:
        """The corridor when the devices agree with it; what is being deleted, when it is gone."""
        deadline = time.monotonic() + timeout_s
        current = corridor
        while current.reconciling or current.state == corridor_pb2.Corridor.DELETING:
            if time.monotonic() > deadline:
                raise Unsettled(f"{corridor.name} is not settled after {timeout_s:g} s{_why(current)}")
            time.sleep(POLL_S)
            found = self._find(corridor)
            if found is None:
                return current
            current = found
        if current.state == corridor_pb2.Corridor.DOWN:
            raise Unsettled(f"{corridor.name} is down{_why(current)}")
        return current

    def _find(self, corridor: corridor_pb2.Corridor) -> corridor_pb2.Corridor | None:
        """The same corridor as it is now; None when it is gone, though another may have its name."""
        try:
            found = self.get(corridor.name)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return None
            raise
        return found if found.uid == corridor.uid else None


def _why(corridor: corridor_pb2.Corridor) -> str:
    failing = [each.message or each.reason for each in corridor.conditions if not each.status]
    return f": {'; '.join(failing)}" if failing else ""


def one_line(error: Any, endpoint: str = "") -> str:
    """What a refused call says, with the fields to blame and the figures that came with it."""
    status = rpc_status.from_call(error)
    if status is None:
        where = f" at {endpoint}" if endpoint else ""
        return f"{error.code().name}: no answer from a controller{where}: {error.details()}"
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        for kind in (info, bad):
            if detail.Is(kind.DESCRIPTOR):
                detail.Unpack(kind)
    told = [f"{each.field}: {each.description}" for each in bad.field_violations]
    further = [text for text in told if text not in status.message]
    figures = [figure(*each) for each in sorted(info.metadata.items()) if not _says(status.message, each[1])]
    return "; ".join([f"{info.reason or error.code().name}: {status.message}", *further, *figures])


def _says(message: str, value: str) -> bool:
    """The value stands in the message, and not as a part of a longer one."""
    return re.search(rf"(?<![\w./-]){re.escape(value)}(?![\w/-])", message) is not None
