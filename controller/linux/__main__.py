"""`python -m controller.linux --device-id N --listen unix:/path --port 1@eth1 …`, in the router's namespace."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys

import grpc
from finsy.proto import p4r_grpc

from controller.linux.arbitration import Arbitration
from controller.linux.forwarding import Forwarding
from controller.linux.interfaces import Ports
from controller.linux.kernel import Kernel, KernelError
from controller.linux.packet_io import PacketIo
from controller.linux.path_watch import PathWatch
from controller.linux.server import P4RuntimeServer
from controller.linux.stream import Streams

log = logging.getLogger("controller.linux")

_GRACE_S = 1.0
_MESSAGE_LIMIT_BYTES = 64 << 20


def port(text: str) -> tuple[int, str]:
    number, _, name = text.partition("@")
    if not number.isdigit() or not 0 < int(number) < 510 or not name:
        raise argparse.ArgumentTypeError(f"{text}: a port is NUMBER@INTERFACE with a number of 1..509")
    return int(number), name


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m controller.linux", description="P4Runtime target on Linux SRv6")
    parser.add_argument("--device-id", type=int, required=True)
    parser.add_argument("--listen", required=True, help="unix:/path/p4rt.sock or host:port")
    parser.add_argument("--port", type=port, action="append", required=True, metavar="NUMBER@INTERFACE")
    parser.add_argument("--log-level", default="INFO")
    return parser.parse_args(argv)


async def serve(device_id: int, address: str, ports: Ports) -> None:
    """Until SIGTERM or SIGINT. Nothing in the kernel is touched when it ends."""
    forwarding, arbitration = Forwarding(Kernel(), ports), Arbitration()
    forwarding.prepare()
    streams = Streams(device_id, arbitration)
    loop = asyncio.get_running_loop()
    packets = streams.packets = PacketIo(ports, streams.punt)
    packets.hear_stamp(*forwarding.reached())
    packets.start(loop)
    paths = streams.paths = PathWatch(forwarding.watched, streams.tell_paths)
    paths.start(loop)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", _MESSAGE_LIMIT_BYTES)])
    p4r_grpc.add_P4RuntimeServicer_to_server(P4RuntimeServer(device_id, forwarding, streams, arbitration), server)
    server.add_insecure_port(address)
    await server.start()
    log.info("device %d listens on %s", device_id, address)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    await server.stop(_GRACE_S)
    paths.close()
    packets.close(loop)


def main(argv: list[str]) -> int:
    options = arguments(argv)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(serve(options.device_id, options.listen, Ports(dict(options.port))))
    except (KernelError, PermissionError) as error:
        log.error("this namespace cannot be prepared (root?): %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
