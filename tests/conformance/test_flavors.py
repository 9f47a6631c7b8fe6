"""PSP and USD of End and End.X (RFC 8986 clauses 4.16.1, 4.16.3).

A target that refuses a flavor (which test_read_back asserts) has no such SID, and must not half do it.
"""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from crossing import crosses, is_dropped
from exceptions import bearable
from frames import from_core, inner4, inner6, on_channel, outer, srh
from packet_world import END_PSP, END_PSP_USD, END_USD, END_X_PSP, END_X_PSP_USD, END_X_USD
from scapy.packet import Packet
from targets import Target

from controller.core.entries import Lpm, TableEntry

NEXT, LAST = "fcbb:bb00:2::", "fcbb:bb00:9:e107::"
PSP = [pytest.param(END_PSP, id="End"), pytest.param(END_X_PSP, id="End.X")]
USD = [pytest.param(END_USD, id="End"), pytest.param(END_X_USD, id="End.X")]
BOTH = [pytest.param(END_PSP_USD, id="End both"), pytest.param(END_X_PSP_USD, id="End.X both")]
pytestmark = pytest.mark.covers("local_sid.end_flavors", "local_sid.end_x_flavors")


def address(sid: TableEntry) -> str:
    (_, prefix), *_ = sid.match
    assert isinstance(prefix, Lpm)
    return str(IPv6Address(prefix.value))


def becomes(target: Target, sid: TableEntry, packet: Packet, expected: Packet, end_leaves_by: int = 1) -> None:
    """End looks its result up, End.X sends it to port 4."""
    port = 4 if sid.action == "end_x_flavors" else end_leaves_by
    if bearable(target.name, [sid]):
        assert crosses(target, 1, from_core(packet)) == (port, on_channel(port, expected))
    else:
        is_dropped(target, 1, from_core(packet))


@pytest.mark.parametrize("sid", PSP + BOTH)
def test_psp_takes_the_srh_off_before_the_last_segment(target: Target, sid: TableEntry) -> None:
    packet = outer(address(sid), nh=43) / srh(41, 1, address(sid), NEXT) / inner6()
    becomes(target, sid, packet, outer(NEXT, nh=41, hlim=63) / inner6())


@pytest.mark.parametrize("sid", PSP + BOTH)
def test_psp_of_a_list_of_three_takes_all_of_it_off(target: Target, sid: TableEntry) -> None:
    packet = outer(address(sid), nh=43) / srh(4, 1, "fcbb:bb00:8::", address(sid), NEXT) / inner4()
    becomes(target, sid, packet, outer(NEXT, nh=4, hlim=63) / inner4())


@pytest.mark.parametrize("sid", PSP + USD + BOTH)
def test_earlier_segments_keep_the_srh(target: Target, sid: TableEntry) -> None:
    packet = outer(address(sid), nh=43) / srh(41, 2, address(sid), NEXT, LAST) / inner6()
    becomes(target, sid, packet, outer(NEXT, nh=43, hlim=63) / srh(41, 1, address(sid), NEXT, LAST) / inner6())


@pytest.mark.parametrize("sid", USD + BOTH)
@pytest.mark.parametrize("listed", [False, True], ids=["no SRH", "SRH"])
def test_usd_uncovers_ipv6(target: Target, sid: TableEntry, listed: bool) -> None:
    """With nothing left of the list; the underlay routes what End uncovers."""
    inner = inner6(dst="fcbb:bb00:3::5")
    tail = srh(41, 0, address(sid)) / inner if listed else inner
    packet = outer(address(sid), nh=43 if listed else 41) / tail
    becomes(target, sid, packet, inner6(dst="fcbb:bb00:3::5", hlim=63), end_leaves_by=4)


@pytest.mark.parametrize("sid", USD + BOTH)
def test_usd_uncovers_ipv4(target: Target, sid: TableEntry) -> None:
    packet = outer(address(sid), nh=4) / inner4(dst="10.7.0.1")
    becomes(target, sid, packet, inner4(dst="10.7.0.1", ttl=63))


@pytest.mark.parametrize("sid", PSP)
def test_psp_alone_uncovers_nothing(target: Target, sid: TableEntry) -> None:
    is_dropped(target, 1, from_core(outer(address(sid)) / inner6(dst="fcbb:bb00:3::5")))
    is_dropped(target, 1, from_core(outer(address(sid), nh=43) / srh(41, 0, address(sid)) / inner6()))


@pytest.mark.parametrize("sid", USD)
def test_usd_alone_pops_nothing(target: Target, sid: TableEntry) -> None:
    packet = outer(address(sid), nh=43) / srh(41, 1, address(sid), NEXT) / inner6()
    becomes(target, sid, packet, outer(NEXT, nh=43, hlim=63) / srh(41, 0, address(sid), NEXT) / inner6())
