"""Runs conformance cases: what an engine of this language must answer, as files of JSON lines.

`python -m breakwater.metrics.conformance FOLDER` loads FOLDER/dataset.json into an engine, runs
every `*_cases.jsonl` beside it, prints for each file how many cases passed and failed and the
first failures, and ends with 1 when any failed. A case is named by its file: eval (a program on
the dataset), stack (what a program leaves), normalize, query, normalization, index, primitive,
validation. What is waived, and why: docs/decisions.
"""

from breakwater.metrics.conformance.folder import FileReport, run_file, run_folder

__all__ = ["FileReport", "run_file", "run_folder"]
