"""The vocabulary, one module for each family of words.

Importing this package declares every word. Families are imported in the order in which their
words are tried, which decides what an overloaded name like `:lt` means.
"""

# isort: off
from breakwater.metrics.language.words import std
from breakwater.metrics.language.words import query
from breakwater.metrics.language.words import data
from breakwater.metrics.language.words import math
from breakwater.metrics.language.words import rewrite
from breakwater.metrics.language.words import buckets
from breakwater.metrics.language.words import generate
from breakwater.metrics.language.words import stateful
from breakwater.metrics.language.words import selection
from breakwater.metrics.language.words import style
from breakwater.metrics.language.words import event
# isort: on

__all__ = [
    "buckets",
    "data",
    "event",
    "generate",
    "math",
    "query",
    "rewrite",
    "selection",
    "stateful",
    "std",
    "style",
]
