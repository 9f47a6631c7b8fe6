"""A packet node as the RFCs have it, on octets: what a target of the pipeline contract must do with a frame.

Read from the standards' text, not from the P4 program and not from the kernel; it shares no code with the controller
beyond the entry types that it is configured with. `Router.receive` is one node, `Network.send` a way through several.
"""

from rfc_router.choices import BMV2, LINUX, Choices
from rfc_router.network import Network
from rfc_router.outcome import Drop, Outcome, Sent
from rfc_router.router import Router

__all__ = ["BMV2", "LINUX", "Choices", "Drop", "Network", "Outcome", "Router", "Sent"]
