"""The step grid: which steps there are, and the window of a query on it."""
