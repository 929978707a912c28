"""`python -m breakwater.metrics.conformance FOLDER`."""

import sys
from pathlib import Path

from breakwater.metrics.conformance.folder import run_folder

_SHOWN = 5
_USAGE = "usage: python -m breakwater.metrics.conformance FOLDER"


def main(arguments: list[str]) -> int:
    """Run the folder's cases; 0 when all passed, 1 when any failed, 2 when there are none."""
    if len(arguments) != 1:
        sys.stderr.write(f"{_USAGE}\n")
        return 2
    folder = Path(arguments[0])
    reports = run_folder(folder) if folder.is_dir() else []
    if not reports:
        sys.stderr.write(f"no *_cases.jsonl in {folder}\n")
        return 2
    for report in reports:
        sys.stdout.write(f"{report.line()}\n")
        for failure in report.failures[:_SHOWN]:
            sys.stdout.write(f"  {failure}\n")
    return 1 if any(report.failures for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
