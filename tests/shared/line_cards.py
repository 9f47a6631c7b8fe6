"""What the line cards of a lab's OTN nodes say, asked past the controller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from controller.linecard.gen import line_card_pb2 as pb
from controller.linecard.gen.line_card_pb2_grpc import LineCardStub
from topologies.lab import Lab


@contextmanager
def line_card(lab: Lab, node: str) -> Iterator[Any]:
    with grpc.insecure_channel(f"unix:{lab.run_dir}/nodes/{node}/linecard.sock") as channel:
        yield LineCardStub(channel)  # type: ignore[no-untyped-call]


def selectors(lab: Lab, *nodes: str) -> dict[str, Any]:
    """What each end says of its protection group."""
    told: dict[str, Any] = {}
    for node in nodes:
        with line_card(lab, node) as stub:
            told[node] = next(iter(stub.WatchProtection(pb.WatchProtectionRequest(), timeout=5)))
    return told


def all_watched(lab: Lab, *nodes: str) -> bool:
    """Both slices carry, and the working one is used."""
    ends = selectors(lab, *nodes).values()
    return all(each.working_ok and each.protection_ok and not each.on_protection for each in ends)
