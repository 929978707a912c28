"""From a selection to lines: which rows, into which line, and their values."""
