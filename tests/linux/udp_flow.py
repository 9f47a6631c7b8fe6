"""A sequence-numbered UDP flow: udp_flow.py send ADDRESS PORT SIZE PER_SECOND COUNT | receive ADDRESS PORT COUNT

The receiver prints "ready", then at the end what it got: packets, and the rate in payload bytes per second.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time

IDLE_S = 0.7
BUFFER = 1 << 22
SO_RCVBUFFORCE = 33


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def send(address: str, port: int, size: int, per_second: float, count: int) -> None:
    with socket.socket(family(address), socket.SOCK_DGRAM) as out:
        began = time.monotonic()
        for number in range(count):
            pause = began + number / per_second - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            out.sendto(struct.pack("!I", number).ljust(size, b"\0"), (address, port))


def receive(address: str, port: int, count: int) -> None:
    with socket.socket(family(address), socket.SOCK_DGRAM) as into:
        into.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        into.bind((address, port))
        print("ready", flush=True)
        seen: set[int] = set()
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
            seen.add(struct.unpack_from("!I", data)[0])
        print(json.dumps({"packets": len(seen), "rate": octets / (last - first) if last > first else 0.0}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]))
    else:
        receive(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
