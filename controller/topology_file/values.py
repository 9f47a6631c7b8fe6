"""The values of a topology file: labels, metrics, risk groups, customer addresses.

Each takes an element and returns its value or raises `Invalid` with the element's place.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

from controller.core.addresses import is_given, mac_number, mac_text
from controller.topology_file.marked_yaml import Element

IpInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

LABEL = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
LINK_LABEL = r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


def fresh(element: Element, name: str, *taken: Mapping[str, object]) -> str:
    if any(name in names_taken for names_taken in taken):
        raise element.wrong(f"{name!r} is given twice")
    return name


def unused(element: Element, number: int, taken: Iterable[int]) -> None:
    if number in taken:
        raise element.wrong(f"{number} is given twice")


def risk_groups(element: Element) -> tuple[int, ...]:
    groups: list[int] = []
    for item in element.sequence():
        group = item.integer(1, 0xFFFF_FFFF)
        unused(item, group, groups)
        groups.append(group)
    return tuple(sorted(groups))


def affinities(element: Element) -> tuple[str, ...]:
    """Names of colours, each once."""
    found: dict[str, Element] = {}
    for item in element.sequence():
        found[fresh(item, item.text(LABEL), found)] = item
    return tuple(sorted(found))


def metric(keys: Mapping[str, Element], key: str, delay_us: int) -> int:
    """A 24-bit metric (RFC 5305 3, 3.7); by default the link's delay."""
    return keys[key].integer(1, 0xFF_FFFF) if key in keys else min(max(1, delay_us), 0xFF_FFFF)


def jitter_us(keys: Mapping[str, Element], default: int) -> int:
    """Delay variation, 24 bits (RFC 8570 4.3)."""
    return keys["jitter_us"].integer(0, 0xFF_FFFF) if "jitter_us" in keys else default


def locator_block(text: str) -> ipaddress.IPv6Network:
    block = ipaddress.IPv6Network(text)
    if block.prefixlen != 32:
        raise ValueError(f"{block} is not 32 bits long, which 16-bit node ids and functions need")
    return block


def interface(element: Element, family: str) -> IpInterface:
    """An address a machine can have, with its prefix length."""
    if not re.fullmatch(r"[0-9a-fA-F.:]+/[0-9]{1,3}", element.text()):
        raise element.wrong(f"{element.text()!r} is not an address with its prefix length")
    address = element.parsed(ipaddress.ip_interface)
    if address.version != int(family[-1]):
        raise element.wrong(f"{address} is not an {family} address")
    ip, network = address.ip, address.network
    if ip.is_multicast or ip.is_loopback or ip.is_link_local or ip.is_unspecified:
        raise element.wrong(f"{ip} is not an address of a customer network")
    if network.num_addresses < 4 or not is_machines(address):
        raise element.wrong(f"{address} is no machine's address in {network}")
    return address


def is_machines(address: IpInterface) -> bool:
    """Neither the subnet's own (IPv6: that of any router, RFC 4291 2.6.1) nor its broadcast address."""
    ip, network = address.ip, address.network
    return ip != network.network_address and (ip.version == 6 or ip != network[-1])


def station_mac(element: Element) -> str:
    """The address of one machine on its Ethernet (IEEE 802: not a group's, not zero), and none that we give."""
    mac = element.parsed(mac_number)
    if mac == 0 or mac >> 40 & 1:
        raise element.wrong(f"{mac_text(mac)} is no machine's address")
    if is_given(mac):
        raise element.wrong(f"{mac_text(mac)} is a router's or marks a channel")
    return mac_text(mac)


def overlap(one: IpInterface, other: IpInterface) -> bool:
    return one.version == other.version and (one.ip in other.network or other.ip in one.network)


def host_address(keys: Mapping[str, Element], family: str, gateway: str) -> tuple[str, str]:
    """A host's address with prefix length, and its gateway without; both empty where it has none."""
    if family not in keys:
        return "", ""
    if not gateway:
        raise keys[family].wrong(f"the port has no {family}_gateway")
    address, router = interface(keys[family], family), ipaddress.ip_interface(gateway)
    if address.network != router.network:
        raise keys[family].wrong(f"{address} is not in the gateway's {router.network}")
    if address.ip == router.ip:
        raise keys[family].wrong(f"{address.ip} is the gateway's own address")
    return str(address.with_prefixlen), str(router.ip)
