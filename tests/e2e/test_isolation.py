"""Who may send what: tenants never meet, forged segments and channels go nowhere, oversize packets get an answer."""

from __future__ import annotations

import pytest
from forgeries import MARKED, Customer
from places import ADDRESS, YZ, ZGC, Make, body, tenant_body

from topologies.lab import Lab
from topologies.system import Controller
from topologies.traffic import Flow, Load, await_ping, ping

CAMPUS = Customer(ZGC, ADDRESS[ZGC][1], "06:00:00:01:00:02", ADDRESS[YZ][1])


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_tenants_with_the_same_addresses_never_meet(lab: Lab, corridor: Make, family: int) -> None:
    address = ("10.9.2.2", "2001:db8:92::2")[family]
    for tenant in ("acme", "globex"):
        corridor("pair", tenant_body(tenant), tenant)
    for tenant in ("acme", "globex"):
        await_ping(lab, f"h-{tenant}-zgc", address)
    with lab.capture("h-globex-yz", "eth0", "udp") as heard, lab.capture("h-globex-zgc", "eth0", "udp") as heard_a:
        got = Flow(lab, "h-acme-zgc", "h-acme-yz", address, Load(5_000, seconds=1)).result()
    assert got["received"] == got["sent"] > 0
    assert heard.fields("frame.number") == []
    assert heard_a.fields("frame.number") == []


def test_a_tenant_without_a_corridor_reaches_no_one(lab: Lab, corridor: Make) -> None:
    corridor("alone", tenant_body("acme"), "acme")
    await_ping(lab, "h-acme-zgc", "2001:db8:92::2")
    assert ping(lab, "h-globex-zgc", "2001:db8:92::2") == 0


def test_forgeries_get_nowhere(lab: Lab, corridor: Make) -> None:
    made = corridor("edge", body(ZGC, YZ, only=20))
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    with lab.capture("zgc-o", "eth1", "ip6") as wire, lab.capture(YZ, "eth0", "ip6") as far:
        CAMPUS.send(lab, CAMPUS.datagram())  # an honest one, so that the test can fail
        for frame in CAMPUS.forgeries(made, node_address="fcbb:bb00:5::1").values():
            CAMPUS.send(lab, frame)
        assert ping(lab, ZGC, ADDRESS[YZ][1]) == 3
    assert len(far.fields("frame.number", display_filter=MARKED)) == 20
    assert len(wire.fields("frame.number", display_filter=MARKED)) == 20


@pytest.mark.parametrize(
    ("family", "payload", "answer"), [(0, 1472, "mtu = 1500"), (1, 1452, "mtu=1500")], ids=["ipv4", "ipv6"]
)
def test_oversize_packets_are_told(lab: Lab, corridor: Make, family: int, payload: int, answer: str) -> None:
    corridor("mtu", body(ZGC, YZ, only=20))
    await_ping(lab, ZGC, ADDRESS[YZ][family])
    lab.run(ZGC, ["ip", "link", "set", "eth0", "mtu", "3000"])
    try:
        assert ping(lab, ZGC, ADDRESS[YZ][family], "-M", "do", "-s", str(payload)) == 3
        argv = ["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(payload + 1), ADDRESS[YZ][family]]
        told = lab.run(ZGC, argv, check=False)
        assert answer in told.stdout + told.stderr
    finally:
        lab.run(ZGC, ["ip", "link", "set", "eth0", "mtu", "1500"])
        lab.run(ZGC, ["ip", "route", "flush", "cache"])
        lab.run(ZGC, ["ip", "-6", "route", "flush", "cache"])


def test_port_of_another_tenant_is_refused(controller: Controller) -> None:
    answer = controller.client.post(
        "/v1/tenants/globex/corridors", params={"corridorId": "theft"}, json=tenant_body("acme")
    )
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
