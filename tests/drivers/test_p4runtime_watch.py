"""What a target says of its probes, decoded: the whole report, and of a broken one what holds together."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import StringValue
from p4runtime_harness import NAME, FakeHarness
from waiting import until

from controller.drivers.device import PathWatch, PolicyState, SessionState
from controller.drivers.p4runtime_watch import decode_watch


def report(said):
    other = Any()
    other.Pack(ParseDict(said, Struct()))
    return other


def told(said):
    return decode_watch(report(said))


def test_sessions_and_policies():
    found = told(
        {
            "sessions": [{"session": 7, "up": True, "round_trip_us": 2114}, {"session": 65535, "up": False}],
            "policies": [{"policy": 3, "on_backup": True, "reason": "SIGNAL_FAIL"}],
        }
    )
    assert found == PathWatch(
        (SessionState(7, True, 2114), SessionState(65535, False, 0)), (PolicyState(3, True, "SIGNAL_FAIL"),)
    )


def test_either_list_may_be_missing():
    assert told({"sessions": []}) == PathWatch()
    assert told({"policies": [{"policy": 1, "on_backup": False}]}) == PathWatch((), (PolicyState(1, False),))


def test_what_does_not_hold_together_is_left_out():
    broken = [{"session": 1.5, "up": True}, {"session": 70000, "up": True}, {"session": 2}, {"up": True}, 4, None]
    whole = {"session": 9, "up": False, "round_trip_us": -4}
    assert told({"sessions": [*broken, whole], "policies": "none"}) == PathWatch((SessionState(9, False),))


def test_other_messages_are_no_reports():
    foreign = Any()
    foreign.Pack(StringValue(value="sessions"))
    assert decode_watch(foreign) is None
    assert told({"uptime": 4}) is None


async def test_a_device_passes_on_what_it_is_told(tmp_path):
    """Also what comes right behind the arbitration, before the device is ready; and nothing to who was fenced off."""
    harness = FakeHarness(tmp_path)
    await harness.server.start()
    harness.device.start()
    try:
        await until(lambda: harness.device.connected, "the connection")
        harness.server.tell(report({"sessions": [{"session": 7, "up": True, "round_trip_us": 2114}]}))
        await until(lambda: harness.listener.watches, "the news")
        assert harness.listener.watches == [(NAME, PathWatch((SessionState(7, True, 2114),)))]
        foreign = Any()
        foreign.Pack(StringValue(value="sessions"))
        harness.server.tell(foreign)
        harness.server.tell(report({"policies": [{"policy": 3, "on_backup": True, "reason": "SIGNAL_FAIL"}]}))
        await until(lambda: len(harness.listener.watches) == 2, "more news")
        assert harness.listener.watches[1] == (NAME, PathWatch((), (PolicyState(3, True, "SIGNAL_FAIL"),)))
        assert harness.device.connected
    finally:
        await harness.device.close()
        await harness.server.stop()
