"""Runs the case files of a folder and says what became of each case."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from breakwater.metrics.conformance.dataset import load
from breakwater.metrics.conformance.evaluation import check_evaluation
from breakwater.metrics.conformance.outcome import Case, MismatchError, WaivedError
from breakwater.metrics.conformance.primitives import (
    check_normalization,
    check_primitive,
    check_tags,
)
from breakwater.metrics.conformance.programs import (
    check_listing,
    check_normal_form,
    check_query,
    check_stack,
)
from breakwater.metrics.engine import MetricsEngine
from breakwater.model import BreakwaterError

Check = Callable[[Case], None]

_ON_ENGINE: Final[dict[str, Callable[[Case, MetricsEngine], None]]] = {
    "eval": check_evaluation,
    "stack": check_stack,
    "normalize": check_normal_form,
    "query": check_query,
    "index": check_listing,
}
_ALONE: Final[dict[str, Check]] = {
    "normalization": check_normalization,
    "primitive": check_primitive,
    "validation": check_tags,
}
_NAME: Final = re.compile(r"([a-z]+)_cases\.jsonl")
_LONGEST: Final = 300


class FileReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the cases of one file; a waived case counts neither as passed nor failed."""

    name: str
    passed: int
    failures: list[str]
    waived: list[str]

    def line(self) -> str:
        """The report in one line: `eval_cases.jsonl: 774 passed, 0 failed`."""
        waived = f" ({len(self.waived)} waived)" if self.waived else ""
        return f"{self.name}: {self.passed} passed, {len(self.failures)} failed{waived}"


def run_folder(folder: Path) -> list[FileReport]:
    """Run every case file of a folder; its dataset.json is loaded once."""
    dataset = folder / "dataset.json"
    engine = load(dataset) if dataset.exists() else None
    return [run_file(path, engine) for path in sorted(folder.glob("*_cases.jsonl"))]


def run_file(path: Path, engine: MetricsEngine | None) -> FileReport:
    """Run the cases of one file; one that needs a dataset fails when there is none."""
    check = _check_for(path.name, engine)
    passed, failures, waived = 0, [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        case = json.loads(line)
        try:
            check(case)
            passed += 1
        except WaivedError as reason:
            waived.append(_named(number, case, str(reason)))
        except MismatchError as difference:
            failures.append(_named(number, case, str(difference)))
        except (BreakwaterError, ValueError, LookupError, TypeError, AssertionError) as error:
            failures.append(_named(number, case, f"{type(error).__name__}: {error}"))
    return FileReport(name=path.name, passed=passed, failures=failures, waived=waived)


def _check_for(name: str, engine: MetricsEngine | None) -> Check:
    found = _NAME.fullmatch(name)
    kind = "" if found is None else found[1]
    if kind in _ALONE:
        return _ALONE[kind]
    if kind in _ON_ENGINE and engine is not None:
        on_engine = _ON_ENGINE[kind]
        return lambda case: on_engine(case, engine)
    known = ", ".join([*_ON_ENGINE, *_ALONE])
    return partial(_refused, reason=f"no dataset.json, or none of the kinds {known}")


def _refused(_: Case, reason: str) -> None:
    raise MismatchError(reason)


def _named(number: int, case: Case, message: str) -> str:
    asked: Any = next(
        (case[key] for key in ("q", "program", "query", "fn", "dstype", "tags") if key in case), ""
    )
    return f"{case.get('id', f'line {number}')}: {message} [{str(asked)[:_LONGEST]}]"
