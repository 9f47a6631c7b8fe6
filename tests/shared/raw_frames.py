"""Send an Ethernet frame past the queueing discipline: raw_frames.py INTERFACE HEX COUNT PER_SECOND"""

from __future__ import annotations

import socket
import sys
import time

SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20


def command(interface: str, frame: bytes, count: int, per_second: float) -> list[str]:
    """How a node is told to run this program."""
    return [sys.executable, __file__, interface, frame.hex(), str(count), f"{per_second:.1f}"]


def main(interface: str, text: str, count: str, per_second: str) -> None:
    frame = bytes.fromhex(text)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((interface, 0))
        raw.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        began = time.monotonic()
        for number in range(int(count)):
            time.sleep(max(0.0, began + number / float(per_second) - time.monotonic()))
            raw.send(frame)


if __name__ == "__main__":
    main(*sys.argv[1:])
