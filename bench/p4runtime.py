"""P4Runtime writes by the driver against the same writes by a bare gRPC stub, both to one BMv2.

bench/p4runtime.py [--json FILE] [--small]

Starts a `simple_switch_grpc` of its own, without ports; where there is none on the path it says so and measures
nothing. The driver and the stub are asyncio clients in one event loop, each with its channel, and take turns, a round
of 10 writes each. The stub's updates are encoded beforehand; the driver's time is that of `apply`, with encoding and
answer. What the switch then holds is read back and compared.
"""

from __future__ import annotations

import sys

from shared import bmv2, southbound
from shared.run import Case, options_of, run

CASES: tuple[Case, ...] = (southbound.one_write, southbound.in_one_go, southbound.read_back)


def main() -> int:
    options = options_of(__doc__ or "").parse_args()
    if bmv2.missing():
        return run((), options, "differs", f"not measured: {bmv2.PROGRAM} is not on the path")
    return run(CASES, options, "differs", "the switch held what was written")


if __name__ == "__main__":
    sys.exit(main())
