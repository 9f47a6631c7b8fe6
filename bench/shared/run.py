"""What every benchmark does: its options, its cases row by row, what was missed, and the rows as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from shared.rows import Differ, Row

Case = Callable[[argparse.Namespace], Iterator[Row]]


def options_of(about: str) -> argparse.ArgumentParser:
    """A parser of the options that all have."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instances", type=Path)
    parser.add_argument("--small", action="store_true", help="small cases: to see that it runs")
    return parser


def run(cases: Sequence[Case], options: argparse.Namespace, wrong: str, proof: str) -> int:
    """The exit status: 1 where an answer is `wrong`; a goal that is missed is said to be. `proof`: what was checked."""
    rows: list[Row] = []
    try:
        for case in cases:
            for row in case(options):
                print(row, flush=True)
                rows.append(row)
    except Differ as differ:
        print(f"{wrong}: {differ}", file=sys.stderr)
        return 1
    missed = [row.name for row in rows if row.met is False]
    print(f"\n{len(rows)} rows, goals missed: {', '.join(missed) or 'none'}; {proof}")
    if options.json:
        options.json.write_text(json.dumps([row.public for row in rows], indent=1, ensure_ascii=False) + "\n")
    return 0
