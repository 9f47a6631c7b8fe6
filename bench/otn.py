"""Optical networks filled with fine-grain slices, against the bound of the linear program; how fast slots are given.

bench/otn.py [--json FILE] [--seed N] [--instances DIR] [--paths K] [--small]

The metro topology of the repository, and CORONET CONUS from DIR/coronet. Slices of 1 to 119 slots arrive between random
pairs of sites, until first fit has refused 500 in a row. What is carried of that list is set against the most that any
plan can carry of it on the same routes, even one that splits slices: placed one by one as they come, and planned as a
whole. Every placement is taken in the ledger slot by slot, and recounted from its slot numbers. There is no peer: no
other open controller knows fine-grain slots. Whatever one core computes is timed by its own time, not by the clock.
"""

from __future__ import annotations

import sys

from shared import allocating, filling
from shared.run import Case, options_of, run

CASES: tuple[Case, ...] = (
    filling.of_the_metro,
    filling.of_the_backbone,
    allocating.in_memory,
    allocating.durable,
)


def main() -> int:
    parser = options_of(__doc__ or "")
    parser.add_argument("--paths", type=int, default=8, help="routes given to each pair of sites")
    return run(CASES, parser.parse_args(), "recounted", "every placement was recounted")


if __name__ == "__main__":
    sys.exit(main())
