"""Bad input is refused by the name of its field, and the good one passes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import Network, corridor, end_point, node_name, prefixes, square

from controller.core.admission import completed, validate
from controller.core.errors import FailedPrecondition, Invalid
from controller.core.model import Corridor, EndPoint, Isolation, Profile, Protection

NET = Network.of(square())
GOOD = corridor()


def with_end(end: str, **fields: object) -> Corridor:
    return replace(GOOD, **{end: replace(getattr(GOOD, end), **fields)})


def with_profile(**fields: object) -> Corridor:
    return replace(GOOD, profiles=(GOOD.profiles[0], replace(GOOD.profiles[1], **fields)))  # type: ignore[arg-type]


def v4(*texts: str) -> Corridor:
    return with_end("z_end", ipv4_prefixes=texts)


def v6(*texts: str) -> Corridor:
    return with_end("z_end", ipv6_prefixes=texts)


ABSURD = 10**12

BAD = {
    "unknown router": (with_end("a_end", node=node_name("r9")), "a_end.node"),
    "no router named": (with_end("z_end", node=""), "z_end.node"),
    "an OTN node": (with_end("z_end", node=node_name("o3")), "z_end.node"),
    "unknown port": (with_end("a_end", port="nowhere"), "a_end.port"),
    "another tenant's port": (with_end("z_end", port="globex"), "z_end.port"),
    "both ends on one router": (with_end("z_end", node=node_name("r1")), "z_end.node"),
    "the same end twice": (replace(GOOD, z_end=GOOD.a_end), "z_end.node"),
    "zero bandwidth": (with_profile(bandwidth_kbps=0), "profiles[1].bandwidth_kbps"),
    "negative bandwidth": (with_profile(bandwidth_kbps=-1), "profiles[1].bandwidth_kbps"),
    "absurd bandwidth": (with_profile(bandwidth_kbps=ABSURD), "profiles[1].bandwidth_kbps"),
    "just above 400 Gbit/s": (with_profile(bandwidth_kbps=400_000_001), "profiles[1].bandwidth_kbps"),
    "negative reverse": (with_profile(reverse_bandwidth_kbps=-5), "profiles[1].reverse_bandwidth_kbps"),
    "absurd reverse": (with_profile(reverse_bandwidth_kbps=ABSURD), "profiles[1].reverse_bandwidth_kbps"),
    "hard and asymmetric": (with_profile(reverse_bandwidth_kbps=5), "profiles[1].reverse_bandwidth_kbps"),
    "no profile": (replace(GOOD, profiles=()), "profiles"),
    "nameless profile": (with_profile(name=""), "profiles[1].name"),
    "two of one name": (with_profile(name="p0"), "profiles[1].name"),
    "unknown profile": (replace(GOOD, active_profile="gaming"), "active_profile"),
    "no active profile": (replace(GOOD, active_profile=""), "active_profile"),
    "negative latency": (replace(GOOD, max_latency_us=-1), "max_latency_us"),
    "small mtu": (replace(GOOD, mtu_bytes=1279, reference_packet_bytes=1000), "mtu_bytes"),
    "large mtu": (replace(GOOD, mtu_bytes=9001), "mtu_bytes"),
    "reference above mtu": (replace(GOOD, reference_packet_bytes=1501), "reference_packet_bytes"),
    "reference of nothing": (replace(GOOD, reference_packet_bytes=0), "reference_packet_bytes"),
    "negative reference": (replace(GOOD, reference_packet_bytes=-1400), "reference_packet_bytes"),
    "priority": (replace(GOOD, priority=8), "priority"),
    "negative priority": (replace(GOOD, priority=-1), "priority"),
    "dscp": (with_end("a_end", dscp=64), "a_end.dscp"),
    "negative dscp": (with_end("z_end", dscp=-1), "z_end.dscp"),
    "not a prefix": (v4("somewhere"), "z_end.ipv4_prefixes[0]"),
    "host bits": (v4("10.9.3.1/24"), "z_end.ipv4_prefixes[0]"),
    "the second prefix": (v4("10.9.3.0/24", "10.9.4.256/32"), "z_end.ipv4_prefixes[1]"),
    "IPv6 among IPv4": (v4("2001:db8::/64"), "z_end.ipv4_prefixes[0]"),
    "IPv4 among IPv6": (v6("10.9.3.0/24"), "z_end.ipv6_prefixes[0]"),
    "multicast": (v4("224.1.0.0/16"), "z_end.ipv4_prefixes[0]"),
    "multicast v6": (v6("ff05::/16"), "z_end.ipv6_prefixes[0]"),
    "everything": (v4("0.0.0.0/0"), "z_end.ipv4_prefixes[0]"),
    "everything v6": (v6("::/0"), "z_end.ipv6_prefixes[0]"),
    "loopback": (v4("127.0.0.0/24"), "z_end.ipv4_prefixes[0]"),
    "loopback v6": (v6("::1/128"), "z_end.ipv6_prefixes[0]"),
    "link-local": (v4("169.254.7.0/24"), "z_end.ipv4_prefixes[0]"),
    "link-local v6": (v6("fe80::/64"), "z_end.ipv6_prefixes[0]"),
    "half of everything": (v4("0.0.0.0/1"), "z_end.ipv4_prefixes[0]"),
    "around multicast": (v4("192.0.0.0/2"), "z_end.ipv4_prefixes[0]"),
    "around link-local": (v4("169.0.0.0/8"), "z_end.ipv4_prefixes[0]"),
    "a locator": (v6("fcbb:bb00:3::/48"), "z_end.ipv6_prefixes[0]"),
    "around the locators": (v6("fc00::/7"), "z_end.ipv6_prefixes[0]"),
    "one neighbour": (v6("fdc0:de::5/128"), "z_end.ipv6_prefixes[0]"),
    "same prefix at both ends": (v4(*prefixes(1)[0]), "z_end"),
    "one end within the other": (v6("2001:db8:9::/48"), "z_end"),
    "IPv4 at one end only": (v4(), "z_end.ipv4_prefixes"),
    "IPv6 at one end only": (v6(), "z_end.ipv6_prefixes"),
    "no tenant": (replace(GOOD, name="corridors/c1"), "name"),
    "a tenant in capitals": (replace(GOOD, name="tenants/ACME/corridors/c1"), "name"),
}


@pytest.mark.parametrize(("bad", "field"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named(bad: Corridor, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        validate(bad, NET.topology)
    assert field in [violation.field for violation in refusal.value.violations]
    assert field in str(refusal.value)


@pytest.mark.parametrize("bad", [bad for bad, _ in BAD.values()], ids=BAD.keys())
def test_bad_input_changes_nothing(bad: Corridor) -> None:
    net = Network.of(square())
    before = net.snapshot
    with pytest.raises(Invalid):
        net.ask(bad)
    assert net.snapshot == before


BARE = replace(GOOD, a_end=EndPoint(node_name("r1"), "acme"), z_end=EndPoint(node_name("r3"), "acme"))


def test_no_prefix_at_all_is_named() -> None:
    with pytest.raises(Invalid) as refusal:
        validate(BARE, NET.topology)
    assert "a_end.ipv6_prefixes" in [violation.field for violation in refusal.value.violations]


def test_without_prefixes_an_end_stands_for_the_subnets_of_its_port() -> None:
    whole = completed(BARE, NET.topology)
    port = NET.topology.access_port(BARE.a_end.node, BARE.a_end.port)
    assert port is not None
    assert IPv4Interface(port.ipv4_gateway) in IPv4Network(whole.a_end.ipv4_prefixes[0])
    assert IPv6Interface(port.ipv6_gateway) in IPv6Network(whole.a_end.ipv6_prefixes[0])
    assert completed(GOOD, NET.topology) == GOOD


GOOD_ONES = {
    "hard": GOOD,
    "soft": corridor(isolation=Isolation.SOFT),
    "soft and asymmetric": corridor(isolation=Isolation.SOFT, reverse=5),
    "the same said twice": with_profile(reverse_bandwidth_kbps=100_000),
    "one profile": corridor(rates=(1,)),
    "IPv4 only": replace(with_end("a_end", ipv6_prefixes=()), z_end=replace(GOOD.z_end, ipv6_prefixes=())),
    "IPv6 only": replace(with_end("a_end", ipv4_prefixes=()), z_end=replace(GOOD.z_end, ipv4_prefixes=())),
    "many prefixes": v4("10.9.3.0/24", "10.9.5.0/30", "192.0.2.1/32"),
    "dscp": with_end("a_end", dscp=0),
    "dscp 63": with_end("a_end", dscp=63),
    "largest mtu": replace(GOOD, mtu_bytes=9000),
    "smallest mtu": replace(GOOD, mtu_bytes=1280, reference_packet_bytes=64),
    "no bound": replace(GOOD, max_latency_us=0),
    "second port": with_end("a_end", port="acme-b"),
    "unique local": v6("fd00:1::/48"),
}


@pytest.mark.parametrize("good", GOOD_ONES.values(), ids=GOOD_ONES.keys())
def test_good_input_passes(good: Corridor) -> None:
    validate(good, NET.topology)


def test_a_bound_below_light_names_the_floor() -> None:
    """r1 and r3 are 0.02 degrees of latitude apart: 2.22 km, 7.4 µs in vacuum."""
    validate(replace(GOOD, max_latency_us=7), NET.topology)
    with pytest.raises(Invalid) as refusal:
        validate(replace(GOOD, max_latency_us=6), NET.topology)
    assert refusal.value.reason == "FASTER_THAN_LIGHT"
    assert refusal.value.metadata == {"floorUs": "7"}
    assert [v.field for v in refusal.value.violations] == ["max_latency_us"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    bad = replace(with_end("a_end", dscp=99), priority=9, profiles=(Profile("p0", 0),))
    with pytest.raises(Invalid) as refusal:
        validate(bad, NET.topology)
    assert {v.field for v in refusal.value.violations} == {"a_end.dscp", "priority", "profiles[0].bandwidth_kbps"}


def test_what_is_not_offered_yet_is_said_to_be_so() -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        validate(replace(GOOD, isolation=Isolation.SOFT, protection=Protection.PROTECT), NET.topology)
    assert refusal.value.reason == "PROTECT_NOT_OFFERED"
    validate(replace(GOOD, protection=Protection.PROTECT), NET.topology)


def test_a_missing_active_profile_is_asked_for_with_the_choice() -> None:
    with pytest.raises(Invalid, match="active_profile: is required: one of p0, p1"):
        validate(replace(GOOD, active_profile=""), NET.topology)


def test_the_same_addresses_belong_to_two_tenants() -> None:
    validate(corridor(tenant="globex"), NET.topology)
    assert end_point(1, "acme").ipv4_prefixes == end_point(1, "globex").ipv4_prefixes


@given(st.text(max_size=12))
def test_no_text_crashes_as_a_prefix(text: str) -> None:
    for bad in (v4(text), v6(text)):
        with pytest.raises(Invalid):
            validate(bad, NET.topology)
