"""Who is still there: evidence from renewals, callers and probes, weighed before a lease is ended.

A ratio alone cannot tell a crash from a partition: it keeps the dead of small fleets for ever and
drops the living of large ones. Here silence only raises the question; what callers saw and what a
probe finds answer it. `verdicts` decides in pure functions, `Judge` gathers and acts.
"""
