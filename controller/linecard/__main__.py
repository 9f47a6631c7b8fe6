"""`python -m controller.linecard --node NAME --listen unix:/path/linecard.sock [--server PORT:NAME=SLOTS]…`"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Mapping, Sequence

import grpc

from controller.linecard.gen import line_card_pb2_grpc
from controller.linecard.service import LineCardService
from controller.linecard.slot_table import LineServer, SlotTable

GRACE_S = 1.0
SERVER_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),  # the controller probes an idle stream every 2 s
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
)

log = logging.getLogger("controller.linecard")


def server_size(text: str) -> tuple[LineServer, int]:
    """`2:odu1-1=238`: line port, server ODU, its slots."""
    try:
        place, slots = text.rsplit("=", 1)
        port, name = place.split(":", 1)
        size = (int(port), name), int(slots)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not PORT:NAME=SLOTS") from None
    if size[0][0] < 1 or not name or size[1] < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: port and slots start at 1")
    return size


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m controller.linecard", description="Line card of one OTN node.")
    parser.add_argument("--node", required=True, help="name of the OTN node")
    parser.add_argument("--listen", required=True, metavar="ADDRESS", help="unix:/path or host:port")
    parser.add_argument(
        "--server", action="append", default=[], type=server_size, metavar="PORT:NAME=SLOTS", help="size of a server"
    )
    return parser.parse_args(arguments)


async def start_server(node: str, listen: str, sizes: Mapping[LineServer, int]) -> grpc.aio.Server:
    """A serving line card. Raises RuntimeError when the address cannot be bound."""
    server = grpc.aio.server(options=SERVER_OPTIONS)
    service = LineCardService(node, SlotTable(sizes))
    line_card_pb2_grpc.add_LineCardServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(listen)
    await server.start()
    return server


async def serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await start_server(options.node, options.listen, dict(options.server))
    log.info("line card of %s serves at %s", options.node, options.listen)
    await stop.wait()
    await server.stop(GRACE_S)


def main() -> int:
    options = parse(sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(serve(options))
    except RuntimeError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
