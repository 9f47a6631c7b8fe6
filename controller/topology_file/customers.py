"""Customer ports of routers in a topology file, and the machines that are known there.

`routers[].access[]`: `name`, `kind`, `tenant` ("default"), `ipv4_gateway` and `ipv6_gateway` (the router's own address
with its prefix length, one at least), `neighbors`: a list of `address` (without a prefix length, of a family whose
gateway the port has) and `mac`. `hosts[]`: `name`, `router`, `port`, `ipv4` and `ipv6` (in the port's subnets), `mac`
(`host_mac` by default). Routers that resolve no neighbours know these machines and no others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import replace

from controller.core.addresses import host_mac, mac_text
from controller.core.admission import no_customers
from controller.core.model import AccessPort, Neighbor, Node
from controller.topology_file.marked_yaml import Element
from controller.topology_file.model import LabHost, Role
from controller.topology_file.values import (
    LABEL,
    IpInterface,
    fresh,
    host_address,
    interface,
    is_machines,
    overlap,
    station_mac,
)

FAMILIES = ("ipv4", "ipv6")


class CustomerPorts:
    """Access ports as they are read: no two of one tenant share a prefix, nor any with the SRv6 block."""

    def __init__(self, block: ipaddress.IPv6Network) -> None:
        self._block = block
        self._prefixes: list[tuple[str, IpInterface]] = [("", ipaddress.IPv6Interface(str(block)))]

    def port(self, item: Element, number: int, ports: Mapping[str, AccessPort]) -> AccessPort:
        keys = item.mapping(["name", "kind"], ["tenant", "ipv4_gateway", "ipv6_gateway", "neighbors"])
        name = fresh(keys["name"], keys["name"].text(LABEL), ports)
        tenant = keys["tenant"].text(LABEL) if "tenant" in keys else "default"
        gateways = {family: self._gateway(keys, family, tenant) for family in FAMILIES}
        if not any(gateways.values()):
            raise item.wrong("needs an ipv4_gateway or an ipv6_gateway")
        kind = keys["kind"].choice(Role, (role for role in Role if role is not Role.EXCHANGE))
        port = AccessPort(name, number, tenant, str(kind), gateways["ipv4"], gateways["ipv6"])
        for neighbor in keys["neighbors"].sequence() if "neighbors" in keys else ():
            port = _with_neighbor(port, neighbor, self._block)
        return port

    def _gateway(self, keys: Mapping[str, Element], family: str, tenant: str) -> str:
        key = keys.get(f"{family}_gateway")
        if key is None:
            return ""
        address = interface(key, family)
        for other_tenant, other in self._prefixes:
            if other_tenant in (tenant, "") and overlap(address, other):
                raise key.wrong(f"{address.network} overlaps {other.network} of the same tenant or of the SRv6 block")
        self._prefixes.append((tenant, address))
        return str(address.with_prefixlen)


def _with_neighbor(port: AccessPort, item: Element, block: ipaddress.IPv6Network) -> AccessPort:
    """One more machine at a port, or behind it: then the MAC is that of the customer's router in between."""
    keys = item.mapping(["address", "mac"])
    address = keys["address"].parsed(_address)
    gateway = port.ipv4_gateway if address.version == 4 else port.ipv6_gateway
    if not gateway:
        raise keys["address"].wrong(f"the port has no ipv{address.version}_gateway")
    if why := _no_neighbor(address, ipaddress.ip_interface(gateway), block):
        raise keys["address"].wrong(f"{address} {why}")
    return _known_there(port, Neighbor(str(address), station_mac(keys["mac"])), keys["address"])


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text)
    if address.version == 6 and address.scope_id:
        raise ValueError(f"{text}: an address of a customer's has no zone")
    return address


def _no_neighbor(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, gateway: IpInterface, block: ipaddress.IPv6Network
) -> str:
    """Why no machine at or behind a port has it; empty where one may."""
    subnet = gateway.network
    if address == gateway.ip:
        return "is the gateway's own address"
    if address in subnet and not is_machines(ipaddress.ip_interface(f"{address}/{subnet.prefixlen}")):
        return f"is no machine's address in {subnet}"
    return no_customers(ipaddress.ip_network(address), block)


def _known_there(port: AccessPort, neighbor: Neighbor, place: Element) -> AccessPort:
    if any(neighbor.address == other.address for other in port.neighbors):
        raise place.wrong(f"{neighbor.address} is a neighbour of the port already")
    return replace(port, neighbors=(*port.neighbors, neighbor))


def host(item: Element, keys: Mapping[str, Element], name: str, router: Node, port: AccessPort) -> LabHost:
    """The machine that the lab attaches to a port."""
    if not keys.keys() & set(FAMILIES):
        raise item.wrong("needs an ipv4 or an ipv6 address")
    ipv4, ipv4_gateway = host_address(keys, "ipv4", port.ipv4_gateway)
    ipv6, ipv6_gateway = host_address(keys, "ipv6", port.ipv6_gateway)
    mac = station_mac(keys["mac"]) if "mac" in keys else mac_text(host_mac(router.node_id, port.port))
    return LabHost(name, router.name, port.name, port.tenant, ipv4, ipv6, ipv4_gateway, ipv6_gateway, mac)


def with_host(router: Node, attached: LabHost, keys: Mapping[str, Element]) -> Node:
    """The router to whose port a machine is attached: it is a known neighbour there."""
    ports = {port.name: port for port in router.access_ports}
    for family, address in _addresses(attached):
        neighbor = Neighbor(address, attached.mac)
        ports[attached.port] = _known_there(ports[attached.port], neighbor, keys[family])
    return replace(router, access_ports=tuple(ports.values()))


def _addresses(attached: LabHost) -> Iterator[tuple[str, str]]:
    for family, text in zip(FAMILIES, (attached.ipv4, attached.ipv6), strict=True):
        if text:
            yield family, str(ipaddress.ip_interface(text).ip)
