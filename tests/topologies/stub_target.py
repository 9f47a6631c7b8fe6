"""Stands in for a router's agent or a line card: listens on the Unix socket after `--listen`, and does nothing."""

import signal
import socket
import sys

listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[sys.argv.index("--listen") + 1].removeprefix("unix:"))
listener.listen()
signal.pause()
