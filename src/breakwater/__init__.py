"""Breakwater: names the broken service, and proves beforehand that one failure stays one failure.

Two places run this code. Inside a user's service only `breakwater.sdk` is imported (standard
library and msgspec). Beside the fleet, `breakwater serve` runs every other room in one process.
The rooms and who may import whom are drawn in docs/design.md and checked by import-linter.
"""

__version__ = "0.1.0"
