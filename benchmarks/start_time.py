"""How long a fresh process waits: `import breakwater.sdk` and `breakwater --help`.

Wall time of whole processes, best of several; `ratio` is to a Python that does nothing.
"""

import subprocess
import sys
import time

Row = tuple[str, float, str, float]


def rows() -> list[Row]:
    """(name, value, unit, ratio): milliseconds."""
    bare = _best_ms("-c", "pass")
    sdk = _best_ms("-c", "import breakwater.sdk")
    shown = _best_ms("-m", "breakwater.cli", "--help")
    return [
        ("bare Python", bare, "ms", 1.0),
        ("import breakwater.sdk, less bare Python", sdk - bare, "ms", (sdk - bare) / bare),
        ("breakwater --help, whole process", shown, "ms", shown / bare),
    ]


def _best_ms(*arguments: str, repeats: int = 9) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append((time.perf_counter() - started) * 1000)
    return min(times)
