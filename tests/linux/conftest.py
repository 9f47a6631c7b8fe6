from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import chain_entries
import pytest
import router_chain
from finsy.proto import p4r
from machine import require
from p4_client import DELETE, INSERT, Client, additions, canonical_bytes
from protected_headend import OWN, News, protect
from router_chain import reaches
from waiting import wait_until

TOOLS = ("ip", "tc", "nft", "ping", "ethtool")


class Chain:
    """The running network: agents and their controllers, by router."""

    def __init__(self, folder: Path) -> None:
        router_chain.build()
        self.agents = {router: router_chain.Agent(router, folder) for router in router_chain.ROUTERS}
        self.clients: dict[str, Client] = {}
        for router in self.agents:
            self.connect(router, election_id=1)

    def connect(self, router: str, election_id: int) -> Client:
        agent = self.agents[router]
        self.clients[router] = Client(agent.address, agent.device_id, election_id).lead()
        return self.clients[router]

    def program(self) -> None:
        for router, client in self.clients.items():
            client.send(additions(chain_entries.everything(client.schema, router)))

    def close(self) -> None:
        for client in self.clients.values():
            client.close()
        for agent in self.agents.values():
            agent.kill()
        router_chain.demolish()


@pytest.fixture(scope="session")
def lab() -> None:
    """Root and the tools, or the reason why not."""
    require(*TOOLS)


@pytest.fixture(scope="session")
def chain(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """The chain of routers, programmed and carrying both customers in both families."""
    running = None
    try:
        running = Chain(tmp_path_factory.mktemp("chain"))
        running.program()
        for host in ("h1", "h1b"):
            for address in ("10.3.0.2", "2001:db8:3::2"):
                wait_until(lambda host=host, address=address: reaches(host, address), f"{host} reaches {address}")
        yield running
    finally:
        if running is not None:
            running.close()
        router_chain.demolish()


@pytest.fixture
def unchanged(chain: Chain) -> Iterator[Chain]:
    """For tests that put back what they change: the next one must find everything as it was."""
    before = {router: client.read_all() for router, client in chain.clients.items()}
    yield chain
    after = {router: client.read_all() for router, client in chain.clients.items()}
    assert after == before


@pytest.fixture
def echoes() -> Callable[[str], tuple[int, int]]:
    """ICMP and ICMPv6 echo requests that a host has received so far, by its own kernel's count."""

    def count(host: str) -> tuple[int, int]:
        snmp = router_chain.inside(host, "cat", "/proc/net/snmp", "/proc/net/snmp6").stdout.splitlines()
        names, values = (line.split() for line in snmp if line.startswith("Icmp:"))
        v6 = next(line.split()[1] for line in snmp if line.startswith("Icmp6InEchos "))
        return int(values[names.index("InEchos")]), int(v6)

    return count


@pytest.fixture
def headend(unchanged):
    """r1 with an address of its own, whatever it is given during the test taken away again."""
    client = unchanged.clients["r1"]
    address = client.schema.entry("node_address", {"dst": OWN}, "to_node")
    client.write(INSERT, [address])
    before = client.read_all()
    yield unchanged.agents["r1"], client
    client = unchanged.clients["r1"]
    for table in ("policy_backup", "path_probe", "policy"):
        asked = p4r.Entity(table_entry=p4r.TableEntry(table_id=client.table_id(table)))
        added = [entity for entity in client.read(asked) if canonical_bytes(entity) not in before]
        if added:
            client.write(DELETE, added)
    client.write(DELETE, [address])


@pytest.fixture
def protected(headend):
    """Customer a's corridor with its backup, both ways watched and whole."""
    agent, client = headend
    news = News(client)
    protect(client, news)
    return agent, client, news
