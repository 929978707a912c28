"""Answers used more than once: kept, stale, shared by those who wait, asked for in batches."""
