"""Retention classes: rolled up from the store before, and read together with it."""
