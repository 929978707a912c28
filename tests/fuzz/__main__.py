"""`python -m tests.fuzz TARGET [libFuzzer flags]`: coverage-guided fuzzing of one target."""

import asyncio
import sys

import atheris

with atheris.instrument_imports(include=["breakwater.ingest", "breakwater.metrics"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run until the flags say it is enough, or until something breaks."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz TARGET; targets: {', '.join(TARGETS)}")
    with asyncio.Runner() as loop:
        atheris.Setup(sys.argv, TARGETS[sys.argv.pop(1)](loop))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
