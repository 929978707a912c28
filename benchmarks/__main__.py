"""`make bench`: every benchmark in turn, one table, and JSON with `--json FILE`.

The last column is the ratio to the peer that the benchmark names: an array copy, a bare call ...
"""

import argparse
import platform
import sys
from pathlib import Path

import msgspec

from benchmarks import (
    balancing,
    diagnosis_cost,
    discovery,
    guard,
    metrics_engine,
    metrics_log,
    number_text,
    pictures,
    start_time,
)


def main() -> None:
    """Run all benchmarks and print name, value, unit and ratio."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    options = parser.parse_args()
    rows = []
    print(f"Python {platform.python_version()} on {platform.machine()}", file=sys.stderr)
    for module in (
        balancing,
        metrics_engine,
        metrics_log,
        number_text,
        guard,
        diagnosis_cost,
        discovery,
        pictures,
        start_time,
    ):
        print(f"... {module.__name__}", file=sys.stderr)
        for name, value, unit, ratio in module.rows():
            rows.append({"name": name, "value": value, "unit": unit, "ratio": ratio})
            shown = "" if ratio is None else f"{ratio:9.2f} x"
            print(f"{name:58s} {value:14,.4g} {unit:16s} {shown}")
    if options.json:
        options.json.write_bytes(msgspec.json.encode(rows))


if __name__ == "__main__":
    main()
