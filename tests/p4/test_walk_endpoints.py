"""The oracle's segments against packets worked out by hand, in the notation and order of RFC 8754 clause 6."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rfc_router import BMV2, Drop
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN
from scapy.packet import Packet, Raw
from walk_frames import (
    CORE,
    SITE,
    STRICT,
    VRF,
    arrives,
    customer6,
    delivered,
    for_us,
    out,
    router,
    sid,
    srh,
    tunnel,
)

HERE = "fcbb:bb00:1:e300::1"
NEXT, LAST = "fcbb:bb00:2::", "fcbb:bb00:3:e107::"
END, END_X = sid(HERE, 128, "end"), sid(HERE, 128, "end_x", next_hop=11)
PSP, USD = 1, 2


def flavored(flavors: int) -> tuple[object, object]:
    return sid(HERE, 128, "end_flavors", flavors=flavors), sid(HERE, 128, "end_x_flavors", next_hop=11, flavors=flavors)


def test_end_takes_the_next_segment_and_a_hop() -> None:
    """(A, S1)(S3, S2, S1; SL=2) becomes (A, S2)(S3, S2, S1; SL=1), RFC 8754 4.3.1.1."""
    came = tunnel(HERE, hlim=9, nh=43) / srh(41, 2, LAST, NEXT, HERE) / customer6()
    went = tunnel(NEXT, hlim=8, nh=43) / srh(41, 1, LAST, NEXT, HERE) / customer6()
    (sent,) = arrives(router(END), CORE, came)
    assert (sent.port, sent.octets) == (CORE, out(10, went))


def test_end_x_takes_the_next_segment_and_its_own_way() -> None:
    came = tunnel(HERE, nh=43) / srh(41, 2, LAST, NEXT, HERE) / customer6()
    went = tunnel(NEXT, hlim=63, nh=43) / srh(41, 1, LAST, NEXT, HERE) / customer6()
    (sent,) = arrives(router(END_X), CORE, came)
    assert (sent.port, sent.octets) == (4, out(11, went))


def test_a_reduced_list_has_one_more_left_than_it_holds() -> None:
    """RFC 8754 4.1.1: (A, S1)(S3, S2; SL=2)."""
    came = tunnel(HERE, nh=43) / srh(41, 2, LAST, NEXT) / customer6()
    went = tunnel(NEXT, hlim=63, nh=43) / srh(41, 1, LAST, NEXT) / customer6()
    assert next(iter(arrives(router(END), CORE, came))).octets == out(10, went)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (srh(41, 0, NEXT), Drop.SEGMENTS),
        (srh(41, 3, LAST, NEXT), Drop.SEGMENTS),
        (srh(41, 255, LAST, NEXT), Drop.SEGMENTS),
        (srh(41, 2, LAST, NEXT, last=2), Drop.SEGMENTS),
        (srh(41, 1, LAST, NEXT, last=255), Drop.SEGMENTS),
        (IPv6ExtHdrRouting(nh=41, type=0, segleft=1, addresses=[NEXT]), Drop.MALFORMED),
        (Raw(srh(41, 1, NEXT).build()[:20]), Drop.MALFORMED),
    ],
)
def test_lists_that_do_not_hold_together(header: Packet, why: Drop) -> None:
    """RFC 8986 4.1 S02, S09; RFC 8200 4.4."""
    tail = customer6() if not isinstance(header, Raw) else b""
    assert arrives(router(END), CORE, tunnel(HERE, nh=43) / header / tail).dropped is why


def test_without_a_list_end_has_nothing_to_do() -> None:
    assert arrives(router(END), CORE, tunnel(HERE) / customer6()).dropped is Drop.SEGMENTS


def test_a_hop_limit_ends_at_a_segment() -> None:
    for left, why in ((1, Drop.HOP_LIMIT), (0, Drop.HOP_LIMIT)):
        came = tunnel(HERE, hlim=left, nh=43) / srh(41, 1, NEXT) / customer6()
        assert arrives(router(END), CORE, came).dropped is why


# ---- flavors (RFC 8986 4.16)


def test_psp_takes_the_list_off_before_its_last_segment() -> None:
    for entry, port, adjacency in zip(flavored(PSP), (4, 4), (11, 11), strict=True):
        came = tunnel(HERE, hlim=9, nh=43) / srh(41, 1, LAST, HERE) / customer6()
        (sent,) = arrives(router(entry), CORE, came)
        assert (sent.port, sent.octets) == (port, out(adjacency, tunnel(LAST, hlim=8, nh=41) / customer6()))


def test_psp_leaves_a_longer_list_alone() -> None:
    came = tunnel(HERE, nh=43) / srh(41, 2, LAST, NEXT, HERE) / customer6()
    went = tunnel(NEXT, hlim=63, nh=43) / srh(41, 1, LAST, NEXT, HERE) / customer6()
    assert next(iter(arrives(router(flavored(PSP)[0]), CORE, came))).octets == out(10, went)


def test_psp_behind_options_hands_the_next_header_to_them() -> None:
    options = IPv6ExtHdrHopByHop(nh=43, options=[PadN(optdata=b"\0" * 4)])
    came = tunnel(HERE, hlim=9, nh=0) / options / srh(41, 1, NEXT, HERE) / customer6()
    options = IPv6ExtHdrHopByHop(nh=41, options=[PadN(optdata=b"\0" * 4)])
    went = tunnel(NEXT, hlim=8, nh=0) / options / customer6()
    assert next(iter(arrives(router(flavored(PSP)[0]), CORE, came))).octets == out(10, went)


def test_usd_uncovers_what_has_nothing_left() -> None:
    inner = tunnel("fcbb:bb00:3::", hlim=40) / customer6()
    end, end_x = flavored(USD)
    for header in (b"", srh(41, 0, HERE)):
        came = tunnel(HERE, hlim=1, nh=43 if header else 41) / header / inner
        went = out(11, tunnel("fcbb:bb00:3::", hlim=39) / customer6())
        for entry in (end, end_x):
            (sent,) = arrives(router(entry), CORE, came)
            assert (sent.port, sent.octets) == (4, went)
    assert arrives(router(flavored(PSP)[0]), CORE, tunnel(HERE) / inner).dropped is Drop.SEGMENTS
    assert arrives(router(end), CORE, tunnel(HERE, nh=17) / Raw(b"12345678")).dropped is Drop.UPPER_LAYER


# ---- compressed segments (RFC 9800 4.1)


def test_u_n_moves_the_argument_up() -> None:
    came = tunnel("fcbb:bb00:1:2:3:4:5:6", hlim=9) / customer6()
    went = tunnel("fcbb:bb00:2:3:4:5:6:0", hlim=8) / customer6()
    assert next(iter(arrives(router(sid("fcbb:bb00:1::", 48, "u_n")), CORE, came))).octets == out(10, went)


def test_u_a_is_the_longer_prefix_and_takes_two() -> None:
    segments = sid("fcbb:bb00:1::", 48, "u_n"), sid("fcbb:bb00:1:e001::", 64, "u_a", next_hop=11)
    came = tunnel("fcbb:bb00:1:e001:2:3:4:5") / customer6()
    went = tunnel("fcbb:bb00:2:3:4:5:0:0", hlim=63) / customer6()
    (sent,) = arrives(router(*segments), CORE, came)
    assert (sent.port, sent.octets) == (4, out(11, went))


def test_the_argument_comes_before_the_list_is_even_read() -> None:
    """RFC 9800 4.1.1: inserted between S01 and S02, so that a list that does not hold together is not noticed."""
    bad = srh(41, 9, LAST)
    came = tunnel("fcbb:bb00:1:2::", nh=43) / bad / customer6()
    went = tunnel("fcbb:bb00:2::", hlim=63, nh=43) / bad / customer6()
    assert next(iter(arrives(router(sid("fcbb:bb00:1::", 48, "u_n")), CORE, came))).octets == out(10, went)


def test_an_empty_carrier_makes_way_for_the_next_one() -> None:
    second = "fcbb:bb00:2:3:e107::"
    came = tunnel("fcbb:bb00:1::", nh=43) / srh(41, 1, second) / customer6()
    went = tunnel(second, hlim=63, nh=43) / srh(41, 0, second) / customer6()
    assert next(iter(arrives(router(sid("fcbb:bb00:1::", 48, "u_n")), CORE, came))).octets == out(10, went)


def test_two_segments_of_one_node_are_two_hops_by_the_letter() -> None:
    second = "fcbb:bb00:1:e001:2::"
    segments = sid("fcbb:bb00:1::", 48, "u_n"), sid("fcbb:bb00:1:e001::", 64, "u_a", next_hop=11)
    came = tunnel("fcbb:bb00:1::", nh=43) / srh(41, 1, second) / customer6()
    for choices, left in ((STRICT, 62), (replace(STRICT, hop_per_pass=False), 63)):
        (sent,) = arrives(router(*segments, choices=choices), CORE, came)
        assert sent.octets == out(11, tunnel("fcbb:bb00:2::", hlim=left, nh=43) / srh(41, 0, second) / customer6())
    assert arrives(router(*segments, choices=BMV2), CORE, came).dropped is Drop.NO_ROUTE


def test_a_hop_may_count_only_where_the_node_is_left() -> None:
    """One that looks at the hop limit when it forwards ends a tunnel of its own whatever that is."""
    here = "fcbb:bb00:1:e107::"
    for choices, why in ((STRICT, Drop.HOP_LIMIT), (replace(STRICT, hop_per_pass=False), None)):
        came = tunnel(HERE, hlim=1, nh=43) / srh(41, 1, here) / for_us()
        assert arrives(router(END, sid(here, 64, "u_dt6", vrf=VRF), choices=choices), CORE, came).dropped is why
        away = tunnel(HERE, hlim=1, nh=43) / srh(41, 1, NEXT) / customer6()
        for entry in (END, END_X):
            assert arrives(router(entry, choices=choices), CORE, away).dropped is Drop.HOP_LIMIT


# ---- decapsulation (RFC 8986 4.4 to 4.8)

DT6 = sid("fcbb:bb00:1:e107::", 64, "u_dt6", vrf=VRF)


@pytest.mark.parametrize(
    "around",
    [
        tunnel("fcbb:bb00:1:e107::", hlim=1),
        tunnel("fcbb:bb00:1:e107::", nh=43) / srh(41, 0, LAST),
        tunnel("fcbb:bb00:1:e107::", nh=60) / IPv6ExtHdrDestOpt(nh=41, options=[PadN(optdata=b"\0" * 4)]),
    ],
)
def test_a_tunnel_ends_whatever_its_own_hop_limit(around: Packet) -> None:
    (sent,) = arrives(router(DT6), CORE, around / for_us(hlim=7))
    assert (sent.port, sent.octets) == (SITE, delivered(for_us(hlim=6)))


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (tunnel("fcbb:bb00:1:e107::", nh=43) / srh(41, 1, LAST) / for_us(), Drop.SEGMENTS),
        (tunnel("fcbb:bb00:1:e107::", nh=44) / IPv6ExtHdrFragment(nh=41, offset=2) / for_us(), Drop.SEGMENTS),
        (tunnel("fcbb:bb00:1:e107::", nh=17) / Raw(b"12345678"), Drop.UPPER_LAYER),
        (tunnel("fcbb:bb00:1:e107::", nh=41) / Raw(b"`123"), Drop.MALFORMED),
        (tunnel("fcbb:bb00:1:e107::") / for_us(hlim=1), Drop.HOP_LIMIT),
        (tunnel("fcbb:bb00:1:e107::") / for_us(dst="2001:db8:9::1"), Drop.NO_ROUTE),
        (tunnel("fcbb:bb00:1:e107::") / for_us(dst="2001:db8:1::9"), Drop.NO_HOST),
    ],
)
def test_what_is_not_uncovered(packet: Packet, why: Drop) -> None:
    assert arrives(router(DT6), CORE, packet).dropped is why
