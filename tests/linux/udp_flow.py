"""A sequence-numbered UDP flow: udp_flow.py send ADDRESS PORT SIZE PER_SECOND COUNT | receive ADDRESS PORT COUNT

The receiver prints "ready", then at the end what it got: packets, the rate in payload bytes per second, how often some
were lost in a row, and the longest time in which nothing was sent that arrived.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

IDLE_S = 0.7
BUFFER = 1 << 22
SO_RCVBUFFORCE = 33
PACKET = struct.Struct("!IQ")
"""Number, time of sending in ns."""


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def send(address: str, port: int, size: int, per_second: float, count: int) -> None:
    with socket.socket(family(address), socket.SOCK_DGRAM) as out:
        began = time.monotonic()
        for number in range(count):
            pause = began + number / per_second - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            out.sendto(PACKET.pack(number, time.monotonic_ns()).ljust(size, b"\0"), (address, port))


def receive(address: str, port: int, count: int) -> None:
    with socket.socket(family(address), socket.SOCK_DGRAM) as into:
        into.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        into.bind((address, port))
        print("ready", flush=True)
        seen: dict[int, int] = {}
        octets, first, last = 0, 0.0, 0.0
        into.settimeout(10)
        while len(seen) < count:
            try:
                data = into.recv(65536)
            except TimeoutError:
                break
            into.settimeout(IDLE_S)
            last = time.monotonic()
            first = first or last
            # The first packet only starts the clock.
            octets += len(data) if seen else 0
            number, sent_ns = PACKET.unpack_from(data)
            seen[number] = sent_ns
        rate = octets / (last - first) if last > first else 0.0
        gaps = list(gaps_s(seen))
        result = {"packets": len(seen), "rate": rate, "gaps": len(gaps), "gap_s": max(gaps, default=0.0)}
        print(json.dumps(result), flush=True)


def gaps_s(seen: dict[int, int]) -> Iterator[float]:
    """By the sender's clock, between two packets that arrived and between which others were lost."""
    for before, after in pairwise(sorted(seen)):
        if after != before + 1:
            yield (seen[after] - seen[before]) / 1e9


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]))
    else:
        receive(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
