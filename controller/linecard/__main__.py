"""`python -m controller.linecard --node NAME --listen unix:/path/linecard.sock --switch unix:/path/br0.mgmt
--port PORT@IFNAME… [--server PORT:NAME=SLOTS]…`, in the namespace of the OTN node's switch."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from controller.linecard.card import STEP_S, LineCard, Settings
from controller.linecard.continuity import Timing
from controller.linecard.gen import line_card_pb2_grpc
from controller.linecard.service import LineCardService
from controller.linecard.slot_table import LineServer

GRACE_S = 0.2
TIMING = Timing()
REALTIME_PRIORITY = 2
"""Behind the fibres of a lab, ahead of its traffic."""
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


def line_port(text: str) -> tuple[int, str]:
    """`2@eth2`: OpenFlow port number and interface of a fibre."""
    number, _, name = text.partition("@")
    if not number.isdigit() or not 0 < int(number) < 0xFF00 or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not PORT@INTERFACE")
    return int(number), name


def switch_path(text: str) -> str:
    kind, _, path = text.partition(":")
    if kind != "unix" or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not unix:PATH")
    return path


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m controller.linecard", description="Line card of one OTN node.")
    add = parser.add_argument
    add("--node", required=True, help="name of the OTN node")
    add("--listen", required=True, metavar="ADDRESS", help="unix:/path or host:port")
    add("--switch", type=switch_path, metavar="unix:PATH", help="management socket of the node's switch")
    add("--port", action="append", default=[], type=line_port, metavar="PORT@INTERFACE", help="a fibre")
    add("--server", action="append", default=[], type=server_size, metavar="PORT:NAME=SLOTS", help="size of a server")
    add("--step-ms", type=float, default=STEP_S * 1000, help="one step of the resizing handshake")
    add("--continuity-ms", type=float, default=TIMING.period_s * 1000, help="between continuity frames")
    add("--wait-to-restore-s", type=float, default=TIMING.wait_to_restore_s, help="before traffic returns to working")
    return parser.parse_args(arguments)


def settings_of(options: argparse.Namespace) -> Settings:
    return Settings(
        options.node,
        dict(options.server),
        dict(options.port),
        options.switch,
        options.step_ms / 1000,
        Timing(period_s=options.continuity_ms / 1000, wait_to_restore_s=options.wait_to_restore_s),
    )


@dataclass(frozen=True, slots=True)
class Program:
    """A line card and its gRPC server."""

    card: LineCard
    server: grpc.aio.Server

    async def stop(self, grace_s: float = GRACE_S) -> None:
        await self.server.stop(grace_s)
        await self.card.stop()


async def start_program(settings: Settings, listen: str) -> Program:
    """A serving line card. Raises RuntimeError when the address cannot be bound."""
    program = Program(LineCard(settings), grpc.aio.server(options=SERVER_OPTIONS))
    service = LineCardService(program.card)
    line_card_pb2_grpc.add_LineCardServicer_to_server(service, program.server)  # type: ignore[no-untyped-call]
    program.server.add_insecure_port(listen)
    await program.card.start()
    await program.server.start()
    return program


async def serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    defects: list[str] = []

    def give_up(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Half a line card is worse than none: one that has ended is seen, and starts anew."""
        loop.default_exception_handler(context)
        defects.append(context["message"])
        stop.set()

    asyncio.get_running_loop().set_exception_handler(give_up)
    program = await start_program(settings_of(options), options.listen)
    log.info("line card of %s serves at %s", options.node, options.listen)
    await stop.wait()
    await program.stop()
    if defects:
        raise RuntimeError(defects[0])


def be_prompt() -> None:
    """Ahead of the traffic that is watched: a switch that is busy must not delay finding that a fibre is cut."""
    gc.collect()
    gc.freeze()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(REALTIME_PRIORITY))
    except OSError as error:
        log.info("no real-time scheduling, cuts may be found late under load: %s", error.strerror)


def main() -> int:
    options = parse(sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    be_prompt()
    try:
        asyncio.run(serve(options))
    except RuntimeError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
