"""Datapoints in memory: rows in blocks, packed so that each can be read alone, folded in place."""
