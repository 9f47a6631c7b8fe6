"""The stream channel of a running target: elections, frames in and out; and what it announces."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import grpc
import pytest
import router_chain
from finsy.proto import p4r
from google.protobuf.struct_pb2 import Struct
from p4_client import Client, Stream

pytestmark = pytest.mark.root
LLDP = 0x88CC
OK, NOT_FOUND, ALREADY_EXISTS = 0, 5, 6


@pytest.fixture
def second(chain) -> Iterator[Stream]:
    client = chain.clients["r2"]
    other = Stream(client.stub, client.device_id)
    yield other
    other.close()


def frame(destination: str, payload: bytes) -> bytes:
    return bytes.fromhex(destination.replace(":", "") + "0a0000000099") + LLDP.to_bytes(2, "big") + payload


@pytest.mark.parametrize("destination", ["01:80:c2:00:00:0e", router_chain.mac("r2", 1), "02:00:00:00:05:01"])
def test_lldp_goes_out_of_one_router_and_is_punted_by_the_next(chain, destination):
    """Whatever its destination MAC: it is sent to channel addresses to prove an adjacency."""
    sent = frame(destination, b"hello of r1")
    chain.clients["r1"].stream.send(2, sent)
    packet = chain.clients["r2"].stream.packets.get(timeout=5)
    assert packet.payload == sent
    assert [(item.metadata_id, item.value) for item in packet.metadata] == [(1, b"\2"), (2, b"\0")]


def test_only_the_primary_gets_frames_and_may_send(chain, second):
    second.arbitrate(0)
    assert second.status() == ALREADY_EXISTS
    second.send(1, frame("01:80:c2:00:00:0e", b"from the backup"))
    assert second.errors.get(timeout=5).canonical_code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    chain.clients["r1"].stream.send(1, frame("01:80:c2:00:00:0e", b"to the primary"))
    assert chain.clients["r2"].stream.packets.get(timeout=5).payload.endswith(b"to the primary")
    assert second.packets.empty()
    assert chain.clients["r1"].stream.packets.empty()


def test_frames_for_no_port_are_answered(chain):
    stream = chain.clients["r1"].stream
    stream.send(99, frame("01:80:c2:00:00:0e", b"x"))
    assert "99" in stream.errors.get(timeout=5).message
    stream.send(1, b"short")
    assert stream.errors.get(timeout=5).packet_out.packet_out.payload == b"short"


def test_own_frames_do_not_come_back(chain):
    stream = chain.clients["r3"].stream
    stream.send(2, frame("01:80:c2:00:00:0e", b"to a host"))
    stream.send(99, b"")
    stream.errors.get(timeout=5)
    with pytest.raises(queue.Empty):
        stream.packets.get(timeout=0.2)


def ended(stream: Stream) -> grpc.StatusCode:
    return stream.ended.get(timeout=5).code()


def test_wrong_streams_are_closed(chain, second):
    client = chain.clients["r2"]
    second.arbitrate(client.election_id)
    assert ended(second) is grpc.StatusCode.INVALID_ARGUMENT
    other = Stream(client.stub, client.device_id)
    other.arbitrate(5, device_id=77)
    assert ended(other) is grpc.StatusCode.NOT_FOUND
    early = Stream(client.stub, client.device_id)
    early.send(1, b"before any arbitration")
    assert ended(early) is grpc.StatusCode.FAILED_PRECONDITION


def test_succession_is_announced(chain):
    """Primary and backup hear of each other; when the primary leaves, its id stays the bar."""
    address = chain.agents["r3"].address
    first = chain.clients["r3"]
    newer = Client(address, first.device_id, election_id=40)
    newer.stream.arbitrate(40)
    assert newer.stream.status() == OK
    assert first.stream.status() == ALREADY_EXISTS
    newer.close()
    assert first.stream.status() == NOT_FOUND
    first.stream.arbitrate(39)
    assert first.stream.status() == NOT_FOUND
    first.election_id = 41
    first.stream.arbitrate(41)
    assert first.stream.status() == OK


def test_capabilities_are_announced(chain):
    answer = chain.clients["r1"].stub.Capabilities(p4r.CapabilitiesRequest(), timeout=5)
    announced = Struct()
    assert answer.experimental.Unpack(announced)
    assert answer.p4runtime_api_version == "1.4.0"
    assert dict(announced) == {
        "shaping": True,
        "liveness": "REMOTE",
        "maxCarriers": 3,
        "mtuBytes": 9000,
        "resolvesNeighbors": True,
        "fenced": True,
    }
