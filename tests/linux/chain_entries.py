"""The entries that make the chain of routers carry the two customers, as a controller would write them."""

from __future__ import annotations

from ipaddress import ip_network

from finsy.proto import p4r
from p4_client import Schema
from router_chain import LINKS, ROUTERS, mac

BLOCK = "fcbb:bb00"
VRFS = {"a": 5, "b": 6}
CUSTOMER_PORTS = {("r1", "a"): 3, ("r1", "b"): 4, ("r3", "a"): 2, ("r3", "b"): 3}
SITE = {"r1": 1, "r3": 3}
MTU = 1500
DT6, DT4 = 0xE100, 0xE200
"""Function ids of the decapsulating SIDs; the VRF is added."""


def network_ports(router: str) -> dict[int, tuple[str, int]]:
    """Port → neighbour and its port."""
    found = {}
    for a, p, z, q in LINKS:
        if a == router and z in ROUTERS:
            found[p] = (z, q)
        if z == router and a in ROUTERS:
            found[q] = (a, p)
    return found


def locator(router: str) -> str:
    return f"{BLOCK}:{ROUTERS[router]:x}"


def infrastructure(schema: Schema, router: str) -> list[p4r.Entity]:
    """Roles, next hops (their id is the port), uN, one uA per port, and routes to the other locators."""
    entry = schema.entry
    entries = [entry("tunnel_source", {}, "set_tunnel_source", addr=f"{locator(router)}::1")]
    entries.append(entry("local_sid", {"dst": f"{locator(router)}::/48"}, "u_n"))
    for port, (neighbour, far) in network_ports(router).items():
        entries.append(entry("port_role", {"port": port}, "network", mac=mac(router, port)))
        adjacency = {"port": port, "src_mac": mac(router, port), "dst_mac": mac(neighbour, far)}
        entries.append(entry("next_hop", {"next_hop": port}, "to_adjacency", **adjacency))
        entries.append(entry("local_sid", {"dst": f"{locator(router)}:{0xE000 + port:x}::/64"}, "u_a", next_hop=port))
    ways = {"r1": {"r2": 1, "r3": 1}, "r2": {"r1": 1, "r3": 3}, "r3": {"r1": 1, "r2": 1}}
    for other, port in ways[router].items():
        entries.append(entry("route_v6", {"vrf": 0, "dst": f"{locator(other)}::/48"}, "set_next_hop", next_hop=port))
    return entries


def customer(schema: Schema, router: str, name: str) -> list[p4r.Entity]:
    """An attached customer: port, routes to its hosts, decapsulation into its VRF."""
    entry, port, vrf, site = schema.entry, CUSTOMER_PORTS[router, name], VRFS[name], SITE[router]
    next_hop = 100 + vrf
    return [
        entry("port_role", {"port": port}, "customer", mac=mac(router, port), vrf=vrf),
        entry("edge_filter", {"dst": f"{BLOCK}::/32"}, "drop_infrastructure"),
        entry("next_hop", {"next_hop": next_hop}, "to_customer", port=port),
        entry("route_v6", {"vrf": vrf, "dst": f"2001:db8:{site}::/64"}, "set_next_hop", next_hop=next_hop),
        entry("route_v4", {"vrf": vrf, "dst": f"10.{site}.0.0/24"}, "set_next_hop", next_hop=next_hop),
        entry("local_sid", {"dst": f"{locator(router)}:{DT6 + vrf:x}::/64"}, "u_dt6", vrf=vrf),
        entry("local_sid", {"dst": f"{locator(router)}:{DT4 + vrf:x}::/64"}, "u_dt4", vrf=vrf),
    ]


def corridor(schema: Schema, router: str, name: str, carriers: dict[int, list[str]], next_hop: int) -> list[p4r.Entity]:
    """The head end of a customer's corridor to the other site; carriers by IP version."""
    entry, vrf = schema.entry, VRFS[name]
    here, there = SITE[router], 4 - SITE[router]
    prefixes = {6: (f"2001:db8:{here}::/64", f"2001:db8:{there}::/64"), 4: (f"10.{here}.0.0/24", f"10.{there}.0.0/24")}
    entries = []
    for version, segments in carriers.items():
        policy = 10 * vrf + version
        named = {f"carrier{number}": segment for number, segment in enumerate(segments, 1)}
        entries.append(entry("policy", {"policy": policy}, f"encap_red_{len(segments)}", next_hop=next_hop, **named))
        src, dst = (ternary(prefix) for prefix in prefixes[version])
        match = {"vrf": vrf, "src": src, "dst": dst}
        entries.append(entry(f"classifier_v{version}", match, "set_policy", 100, policy=policy, corridor=vrf, mtu=MTU))
    return entries


def ternary(prefix: str) -> str:
    """A prefix as finsy writes value and mask."""
    network = ip_network(prefix)
    return f"{network.network_address}/&{network.netmask}"


def terminal(router: str, name: str, version: int) -> str:
    """The decapsulating function of a customer at a router, as the tail of a carrier."""
    function = (DT6 if version == 6 else DT4) + VRFS[name]
    return f"{ROUTERS[router]:x}:{function:x}"


def default_carriers(router: str, name: str) -> dict[int, list[str]]:
    """One carrier: through r2, to the other end's decapsulation."""
    other = {"r1": "r3", "r3": "r1"}[router]
    return {version: [f"{BLOCK}:2:{terminal(other, name, version)}::"] for version in (6, 4)}


def everything(schema: Schema, router: str) -> list[p4r.Entity]:
    entries = infrastructure(schema, router)
    for at, name in CUSTOMER_PORTS:
        if at == router:
            entries += customer(schema, router, name)
            entries += corridor(schema, router, name, default_carriers(router, name), next_hop=1)
    unique = {entity.SerializeToString(deterministic=True): entity for entity in entries}
    return list(unique.values())
