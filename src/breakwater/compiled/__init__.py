"""How loops are compiled to machine code, where that code is kept, and what numba cannot say.

`loop` and `inlined` are the two ways a function is compiled; every loop of the platform uses one
of them, so they all release the GIL, divide like numpy and are compiled once a machine. `kept`
code belongs to a digest of all sources it was made from: after an upgrade or an edit of a helper,
the loop is compiled anew. The rest are single instructions: memory by its address, and bits.
Importing this room imports numba, which takes 0.6 s; whoever has loops imports them when needed.
"""

from breakwater.compiled.loops import CompiledStats, inlined, loop, stats
from breakwater.compiled.machine import (
    Number,
    address_of,
    bit_length,
    bits_of,
    float_of,
    floats_at,
    high_product,
    leading_zeros,
    load_byte,
    load_number,
    load_word,
    numbers_at,
    ones_in,
    prefetch,
    store_byte,
    store_word,
    trailing_zeros,
)

__all__ = [
    "CompiledStats",
    "Number",
    "address_of",
    "bit_length",
    "bits_of",
    "float_of",
    "floats_at",
    "high_product",
    "inlined",
    "leading_zeros",
    "load_byte",
    "load_number",
    "load_word",
    "loop",
    "numbers_at",
    "ones_in",
    "prefetch",
    "stats",
    "store_byte",
    "store_word",
    "trailing_zeros",
]
