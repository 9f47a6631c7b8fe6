"""The optical layer in the words of the standard's models: values ready for JSON by RFC 7951.

draft-ietf-ccamp-fgotn-yang on top of RFC 8345, RFC 8795, ietf-te, ietf-otn-topology and ietf-otn-tunnel. Slot lists
ascend (`ts-list`); a server ODU is known by its type and its tributary slots of the line.
"""

from controller.core.fgotn_view.names import Json
from controller.core.fgotn_view.topology import networks
from controller.core.fgotn_view.tunnels import tunnels

__all__ = ["Json", "networks", "tunnels"]
