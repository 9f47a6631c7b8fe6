"""The program that picks STAMP out of all frames, run by an interpreter of classic BPF (linux/filter.h)."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from controller.linux import stamp

LOADS = {0x20: 4, 0x28: 2, 0x30: 1}
ADDRESSES = st.integers(0, (1 << 128) - 1)


def taken(code, frame, packet_type=0):
    """How many bytes of the frame the program takes; at most as many steps as it has instructions."""
    instructions = list(struct.iter_unpack("=HBBI", code))
    position = accumulator = 0
    while True:
        operation, when_equal, otherwise, operand = instructions[position]
        position += 1
        if operation == 0x06:
            return operand
        if operation == 0x15:
            position += when_equal if accumulator == operand else otherwise
        elif operand == 0xFFFFF004:
            accumulator = packet_type
        else:
            part = frame[operand : operand + LOADS[operation]]
            if len(part) < LOADS[operation]:
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


def test_as_many_addresses_as_the_pipeline_has_fit_into_a_program():
    assert len(stamp.program(range(16))) // 8 < 4096
