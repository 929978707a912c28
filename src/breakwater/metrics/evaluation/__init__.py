"""Expressions to lines: whole arrays at a time, in one go or stretch by stretch."""
