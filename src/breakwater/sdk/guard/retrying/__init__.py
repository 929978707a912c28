"""Trying again, and sending a second copy: what is worth it, when, and out of which budget."""
