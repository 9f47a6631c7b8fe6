"""`python -m controller.linux.liveness FD`, started by the target with its end of a pair of sockets."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys

from controller.linux.liveness.engine import Engine
from controller.linux.liveness.probing import Probing
from controller.linux.liveness.switch_table import SwitchTable

REALTIME_PRIORITY = 2
"""As line cards: behind the fibres of a lab, ahead of its traffic."""

log = logging.getLogger("controller.linux.liveness")


def be_prompt() -> None:
    gc.collect()
    gc.freeze()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(REALTIME_PRIORITY))
    except OSError as error:
        log.info("no real-time scheduling, cuts may be found late under load: %s", error.strerror)


def main(argv: list[str]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # The target says when it is over, by closing its end; a terminal's interrupt is for the target.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    engine = Engine(socket.socket(fileno=int(argv[0])), Probing(), SwitchTable())
    be_prompt()
    engine.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
