"""How each kind of expression becomes lines: one function for each, by family.

Each takes the run it is part of and the expression, and gives lines; whole arrays at a time.
"""
