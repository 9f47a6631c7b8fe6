"""The program that picks STAMP out of all frames, run by an interpreter of classic BPF (linux/filter.h)."""

from __future__ import annotations

import operator
import struct

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrSegmentRouting
from scapy.layers.l2 import Ether

from controller.linux import stamp

LOADS = {0x20: 4, 0x28: 2, 0x30: 1, 0x40: 4, 0x48: 2, 0x50: 1}
INDIRECT = {0x40, 0x48, 0x50}
CALCULATIONS = {0x04: operator.add, 0x64: operator.lshift}
ADDRESSES = st.integers(0, (1 << 128) - 1)


def taken(code, frame, packet_type=0):
    """How many bytes of the frame the program takes; at most as many steps as it has instructions."""
    instructions = list(struct.iter_unpack("=HBBI", code))
    position = accumulator = index = 0
    while True:
        operation, when_equal, otherwise, operand = instructions[position]
        position += 1
        if operation == 0x06:
            return operand
        if operation == 0x15:
            position += when_equal if accumulator == operand else otherwise
        elif operation in CALCULATIONS:
            accumulator = CALCULATIONS[operation](accumulator, operand)
        elif operation in (0x01, 0x07):
            index = operand if operation == 0x01 else accumulator
        elif operand == 0xFFFFF004:
            accumulator = packet_type
        else:
            start, size = operand + index * (operation in INDIRECT), LOADS[operation]
            part = frame[start : start + size]
            if len(part) < size:
                return 0
            accumulator = int.from_bytes(part, "big")


MACS = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
"""Given, so that nobody is asked for them."""
STAMP = bytes(MACS / IPv6(src="fc00::1", dst="::") / UDP(dport=862) / b"stamp")


def frame(dst, made=STAMP):
    return made[:38] + dst.to_bytes(16, "big") + made[54:]


@given(st.sets(ADDRESSES, max_size=20), st.data())
def test_addresses_of_the_node_and_no_others_are_taken(own, data):
    code = stamp.program(own)
    dst = data.draw(st.sampled_from(sorted(own)) | ADDRESSES if own else ADDRESSES)
    assert bool(taken(code, frame(dst))) == (dst in own)


@given(st.integers(0, 127))
def test_every_bit_of_an_address_counts(bit):
    assert not taken(stamp.program([1 << bit]), frame(0))
    assert taken(stamp.program([1 << bit]), frame(1 << bit)) >= 65_535


def test_only_stamp_to_this_machine_is_taken():
    code = stamp.program([7])
    assert taken(code, frame(7))
    assert not taken(code, frame(7, bytes(MACS / IPv6(dst="::1") / UDP(dport=863))))
    assert not taken(code, frame(7, bytes(MACS / IPv6(dst="::1", nh=6) / UDP(dport=862))))
    assert not taken(code, frame(7), packet_type=3)
    assert not taken(code, frame(7)[:50])


SEGMENTS = st.lists(st.just("fc00::7"), min_size=1, max_size=4)


@given(SEGMENTS, st.binary(max_size=64), st.data())
def test_a_list_that_is_done_may_stand_before_it(segments, payload, data):
    """RFC 8754 clause 4.3.2: the node's address as the last segment; whatever other routing header is not done."""
    code, tlv = stamp.program([7]), bytes(data.draw(st.integers(0, 3)) * 8)
    left, kind, last = (data.draw(st.sampled_from(some)) for some in ((0, 1), (4, 3), (17, 6)))
    srh = IPv6ExtHdrSegmentRouting(
        nh=last,
        segleft=left,
        type=kind,
        lastentry=len(segments) - 1,
        addresses=segments,
        len=2 * len(segments) + len(tlv) // 8,
    )
    header = bytes(srh) + tlv
    for port in (862, 863):
        made = bytes(MACS / IPv6(dst="::", nh=43) / header / UDP(dport=port) / payload)
        assert bool(taken(code, frame(7, made))) == ((left, kind, last, port) == (0, 4, 17, 862))
    assert not taken(code, frame(8, made))


def test_as_many_addresses_as_the_pipeline_has_fit_into_a_program():
    assert len(stamp.program(range(16))) // 8 < 4096
