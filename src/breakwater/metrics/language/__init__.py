"""The stack language: text → typed expression tree → text.

`program.parse` gives the expressions of a program, `words` declares the vocabulary, `query` and
`expressions` are the tree. Nothing here reads a datapoint. Other parts of the room import the
module they need; the room itself is entered by `breakwater.metrics`.
"""
