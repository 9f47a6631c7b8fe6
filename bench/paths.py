"""Path searches: ours, networkx, igraph, rustworkx and scipy in one process on the same graphs.

bench/paths.py [--json FILE] [--seed N] [--instances DIR] [--rounds N] [--small]

DIR/coronet holds CORONET CONUS; DIR/topozoo and DIR/repetita the graphs of the Topology Zoo that the topohub package
does not. A goal that is missed is said to be; only answers that differ make this fail. In rows
with a peer every answer is compared. In the others not:
bounded costs are checked against their bound, segment lists expanded to their path, disjoint pairs not checked here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from shared import growth, restoring, richer, searches
from shared.rows import Differ, Row

CASES: tuple[Callable[[argparse.Namespace], Iterator[Row]], ...] = (
    searches.constrained,
    searches.of_the_zoo,
    richer.ranked_paths,
    richer.bounded_cost,
    richer.disjoint_pairs,
    richer.segment_lists,
    growth.with_size,
    restoring.after_a_cut,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instances", type=Path)
    parser.add_argument("--rounds", type=int, default=200, help="questions per search")
    parser.add_argument("--small", action="store_true", help="small graphs: to see that it runs")
    options = parser.parse_args()
    rows: list[Row] = []
    try:
        for case in CASES:
            for row in case(options):
                print(row, flush=True)
                rows.append(row)
    except Differ as differ:
        print(f"answers differ: {differ}", file=sys.stderr)
        return 1
    missed = [row.name for row in rows if row.met is False]
    print(f"\n{len(rows)} rows, goals missed: {', '.join(missed) or 'none'}; rows with a peer compared every answer")
    if options.json:
        options.json.write_text(json.dumps([row.public for row in rows], indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
