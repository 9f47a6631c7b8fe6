"""Optical networks filled with fine-grain slices, against the bound of the linear program; how fast slots are given.

bench/otn.py [--json FILE] [--seed N] [--instances DIR] [--paths K] [--small]

The metro topology of the repository, and CORONET CONUS from DIR/coronet. Slices of 1 to 119 slots arrive between random
pairs of sites, until first fit has refused 500 in a row. What is carried of that list is set against the most that any
plan can carry of it on the same routes, even one that splits slices: placed one by one as they come, and planned as a
whole. Every placement is taken in the ledger slot by slot, and recounted from its slot numbers. There is no peer: no
other open controller knows fine-grain slots. Whatever one core computes is timed by its own time, not by the clock.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from shared import allocating, filling
from shared.rows import Differ, Row

CASES: tuple[Callable[[argparse.Namespace], Iterator[Row]], ...] = (
    filling.of_the_metro,
    filling.of_the_backbone,
    allocating.in_memory,
    allocating.durable,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instances", type=Path)
    parser.add_argument("--paths", type=int, default=8, help="routes given to each pair of sites")
    parser.add_argument("--small", action="store_true", help="few slices: to see that it runs")
    options = parser.parse_args()
    rows: list[Row] = []
    try:
        for case in CASES:
            for row in case(options):
                print(row, flush=True)
                rows.append(row)
    except Differ as differ:
        print(f"recounted: {differ}", file=sys.stderr)
        return 1
    missed = [row.name for row in rows if row.met is False]
    print(f"\n{len(rows)} rows, goals missed: {', '.join(missed) or 'none'}; every placement was recounted")
    if options.json:
        options.json.write_text(json.dumps([row.public for row in rows], indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
