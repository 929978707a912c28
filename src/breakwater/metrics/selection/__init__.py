"""Which series are meant, without a word of any language: conditions on tags, and their patterns.

The index answers them, the stack language writes them; another language can.
"""
