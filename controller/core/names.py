"""Resource names (AIP-122): `tenants/{t}/corridors/{c}`, `domains/{d}/nodes/{n}`, `domains/{d}/links/{l}`."""

from __future__ import annotations

import re

from controller.core.errors import Invalid

_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
"""RFC 1034 label, which AIP-122 asks of ids that a caller chooses."""


def corridor(tenant: str, corridor_id: str) -> str:
    return f"tenants/{tenant}/corridors/{corridor_id}"


def node(domain: str, node_id: str) -> str:
    return f"domains/{domain}/nodes/{node_id}"


def link(domain: str, link_id: str) -> str:
    return f"domains/{domain}/links/{link_id}"


def topology(domain: str) -> str:
    return f"domains/{domain}/topology"


def short(name: str) -> str:
    """The last segment of a resource name."""
    return name.rsplit("/", 1)[-1]


def require_id(value: str, field: str) -> str:
    """`value`, or `Invalid` naming `field` when it is not a label of RFC 1034."""
    if not _ID.fullmatch(value):
        raise Invalid.field(field, f"{value!r} is not a lower-case label of 1 to 63 letters, digits and hyphens")
    return value


def tenant_of(parent: str) -> str:
    """Tenant of `tenants/{tenant}`."""
    parts = parent.split("/")
    if len(parts) != 2 or parts[0] != "tenants":
        raise Invalid.field("parent", f"{parent!r} is not of the form tenants/{{tenant}}")
    return require_id(parts[1], "parent")


def tenant_of_corridor(name: str) -> str:
    """Tenant of `tenants/{tenant}/corridors/{corridor}`."""
    parts = name.split("/")
    if len(parts) != 4 or (parts[0], parts[2]) != ("tenants", "corridors"):
        raise Invalid.field("name", f"{name!r} is not of the form tenants/{{tenant}}/corridors/{{corridor}}")
    return require_id(parts[1], "name")


def domain_of(name: str) -> str:
    """Domain of a node, link or topology name."""
    return name.split("/")[1]
