"""Who may send what, whichever router is at the edge: tenants never meet, forgeries enter nothing."""

from __future__ import annotations

import pytest
from corridor_lab import Make
from forgeries import MARKED, Customer
from sites import EAST, WAYS, WEST, Site, body, tenant_body

from topologies.lab import Lab
from topologies.traffic import Flow, Load, await_ping, ping

TENANTS = ("acme", "globex")


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_tenants_with_the_same_addresses_never_meet(lab: Lab, corridor: Make, family: int) -> None:
    for tenant in TENANTS:
        corridor("twins", tenant_body(tenant, only=2), tenant)
    for tenant in TENANTS:
        await_ping(lab, WEST.tenant_host(tenant), EAST.tenant_address[family])
    others = [lab.capture(site.tenant_host("globex"), "eth0", "udp") for site in (WEST, EAST)]
    with others[0] as near, others[1] as far:
        got = Flow(
            lab, WEST.tenant_host("acme"), EAST.tenant_host("acme"), EAST.tenant_address[family], Load(1_500, seconds=1)
        ).result()
    assert got["received"] == got["sent"] > 0
    assert near.fields("frame.number") == far.fields("frame.number") == []


def test_a_tenant_without_a_corridor_reaches_no_one(lab: Lab, corridor: Make) -> None:
    corridor("alone", tenant_body("acme", only=2), "acme")
    for address in EAST.tenant_address:
        await_ping(lab, "h-acme-west", address)
        assert ping(lab, "h-globex-west", address) == 0


@pytest.mark.parametrize(("source", "sink"), WAYS.values(), ids=WAYS)
def test_forgeries_get_nowhere(lab: Lab, corridor: Make, source: Site, sink: Site) -> None:
    made = corridor("edge", body(only=2))
    await_ping(lab, source.host, sink.address[1])
    customer = Customer(source.host, source.address[1], source.mac, sink.address[1])
    with lab.capture(source.router, "eth1", "ip6") as wire, lab.capture(sink.host, "eth0", "ip6") as far:
        customer.send(lab, customer.datagram())  # an honest one, so that the test can fail
        for frame in customer.forgeries(made, sink.node_address).values():
            customer.send(lab, frame)
        assert ping(lab, source.host, sink.address[1]) == 3
    assert len(far.fields("frame.number", display_filter=MARKED)) == 20
    assert len(wire.fields("frame.number", display_filter=MARKED)) == 20
