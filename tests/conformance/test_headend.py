"""The headend: classification of customer packets into corridors, and H.Encaps.Red (RFC 8986 clause 5.2)."""

from __future__ import annotations

import pytest
from crossing import crosses, has_no_route
from frames import from_host, inner4, inner6, on_channel, tunnelled
from packet_world import CARRIERS
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from targets import Target


@pytest.mark.covers("classifier_v6.set_policy", "policy.encap_red_1", "tunnel_source.set_tunnel_source")
def test_one_carrier_needs_no_srh(target: Target) -> None:
    port, frame = crosses(target, 2, from_host(2, inner6(dscp=12)))
    expected = tunnelled(target.name, frame, inner6(dscp=12), CARRIERS[0])
    assert (port, frame) == (1, on_channel(1, expected))
    assert len(frame) - len(from_host(2, inner6())) == 40


@pytest.mark.covers("classifier_v4.set_policy", "policy.encap_red_2")
def test_ipv4_goes_into_the_same_tunnel(target: Target) -> None:
    port, frame = crosses(target, 2, from_host(2, inner4()))
    expected = tunnelled(target.name, frame, inner4(), CARRIERS[0], CARRIERS[1])
    assert (port, frame) == (1, on_channel(1, expected))
    assert len(frame) - len(from_host(2, inner4())) == 64


@pytest.mark.covers("policy.encap_red_3")
def test_three_carriers_make_a_reduced_srh_of_two(target: Target) -> None:
    port, frame = crosses(target, 2, from_host(2, inner6(dscp=46)))
    expected = tunnelled(target.name, frame, inner6(dscp=46), *CARRIERS)
    assert (port, frame) == (1, on_channel(1, expected))
    assert len(frame) - len(from_host(2, inner6())) == 80


def test_a_flow_keeps_its_outer_label_and_another_has_another(target: Target) -> None:
    labels = [Ether(crosses(target, 2, from_host(2, inner6(fl=label)))[1])[IPv6].fl for label in (1, 2, 1)]
    assert labels[0] == labels[2] != labels[1]


def test_another_tenant_with_the_same_addresses_has_no_part_in_the_corridor(target: Target) -> None:
    has_no_route(target, 3, inner6())
    has_no_route(target, 3, inner4())
