"""Stands in for a router's agent, BMv2 or a line card: listens on the Unix socket it is given, and does nothing."""

import signal
import socket
import sys

option = next(word for word in ("--listen", "--grpc-server-addr") if word in sys.argv)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[sys.argv.index(option) + 1].removeprefix("unix:"))
listener.listen()
signal.pause()
