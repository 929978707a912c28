"""How long a fresh process waits: imports of the SDK, and `breakwater --help`.

Wall time of whole processes, best of several, with bytecode kept as any installation keeps it;
`ratio` is to a Python that does nothing. msgspec alone stands beside, for it is most of it.
"""

import os
import subprocess
import sys
import time

Row = tuple[str, float, str, float]
_KEPT = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
_IMPORTS = (
    "import msgspec",
    "import breakwater.sdk",
    "from breakwater.sdk import Command",
    "from breakwater.sdk import Service",
)


def rows() -> list[Row]:
    """(name, value, unit, ratio): milliseconds."""
    bare = _best_ms("-c", "pass")
    found: list[Row] = [("bare Python", bare, "ms", 1.0)]
    for statement in _IMPORTS:
        took = _best_ms("-c", statement) - bare
        found.append((f"{statement}, less bare Python", took, "ms", took / bare))
    shown = _best_ms("-m", "breakwater.cli", "--help")
    found.append(("breakwater --help, whole process", shown, "ms", shown / bare))
    return found


def _best_ms(*arguments: str, repeats: int = 9) -> float:
    times = []
    for _ in range(1 + repeats):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=_KEPT
        )
        times.append((time.perf_counter() - started) * 1000)
    return min(times[1:])
