"""What a router is to the hosts on its customer ports, by its kernel or by its program: a gateway, and honest."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from corridor_lab import corridors
from sites import WAYS, Site, body, met

from topologies.lab import Lab
from topologies.system import Controller
from topologies.traffic import ping

FAMILIES = pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
pytestmark = [FAMILIES, pytest.mark.parametrize(("source", "sink"), WAYS.values(), ids=WAYS)]
HEADERS = (28, 48)
"""Of IP and ICMP together."""


@pytest.fixture(scope="module", autouse=True)
def standing(lab: Lab, controller: Controller) -> Iterator[None]:
    """A router is a gateway where a corridor ends."""
    with corridors(controller) as create:
        create("gated", body(only=10))
        met(lab)
        yield


@pytest.fixture
def wide(lab: Lab, source: Site) -> Iterator[None]:
    """The host may send larger packets than the corridor takes."""
    lab.run(source.host, ["ip", "link", "set", "eth0", "mtu", "3000"])
    yield
    lab.run(source.host, ["ip", "link", "set", "eth0", "mtu", "1500"])
    for family in ("-4", "-6"):
        lab.run(source.host, ["ip", family, "route", "flush", "cache"])


def neighbor(lab: Lab, site: Site, family: int) -> dict[str, object]:
    argv = ["ip", "-j", "neigh", "show", "to", site.gateway[family], "dev", "eth0"]
    found = json.loads(lab.run(site.host, argv).stdout or "[]")
    return found[0] if found else {}


def test_a_host_finds_its_gateway_and_pings_it(lab: Lab, source: Site, sink: Site, family: int) -> None:
    lab.run(source.host, ["ip", ("-4", "-6")[family], "neigh", "flush", "dev", "eth0"])
    assert neighbor(lab, source, family).get("lladdr") is None
    assert ping(lab, source.host, source.gateway[family]) == 3
    assert neighbor(lab, source, family)["lladdr"] == source.mac


def test_hop_limits_end_at_the_gateway(lab: Lab, source: Site, sink: Site, family: int) -> None:
    argv = ["ping", "-n", "-c", "1", "-W", "1", "-t", "1", sink.address[family]]
    told = lab.run(source.host, argv, check=False).stdout
    assert f"From {source.gateway[family]} " in told
    assert ("Time to live exceeded", "Time exceeded: Hop limit")[family] in told


@pytest.mark.usefixtures("wide")
def test_hosts_learn_how_large_a_packet_may_be(lab: Lab, source: Site, sink: Site, family: int) -> None:
    fits = 1500 - HEADERS[family]
    address = sink.address[family]
    assert ping(lab, source.host, address, "-M", "do", "-s", str(fits)) == 3
    told = lab.run(source.host, ["ping", "-n", "-c1", "-W1", "-M", "do", "-s", str(fits + 1), address], check=False)
    assert ("mtu = 1500", "mtu=1500")[family] in told.stdout + told.stderr
    assert "mtu 1500" in lab.run(source.host, ["ip", "route", "get", address]).stdout
    # The kernel now cuts its packets to the size that it was told.
    assert ping(lab, source.host, address, "-s", str(fits + 1)) == 3
