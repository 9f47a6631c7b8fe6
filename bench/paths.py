"""Path searches: ours, networkx, igraph, rustworkx and scipy in one process on the same graphs.

bench/paths.py [--json FILE] [--seed N] [--instances DIR] [--rounds N] [--small]

DIR/coronet holds CORONET CONUS; DIR/topozoo and DIR/repetita the graphs of the Topology Zoo that the topohub package
does not. A goal that is missed is said to be; only answers that differ make this fail. In rows
with a peer every answer is compared. In the others not:
bounded costs are checked against their bound, segment lists expanded to their path, disjoint pairs not checked here.
"""

from __future__ import annotations

import sys

from shared import growth, restoring, richer, searches
from shared.run import Case, options_of, run

CASES: tuple[Case, ...] = (
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
    parser = options_of(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=200, help="questions per search")
    return run(CASES, parser.parse_args(), "answers differ", "rows with a peer compared every answer")


if __name__ == "__main__":
    sys.exit(main())
