"""Lines and numbers as text: legends, units, shortest decimals, bars for terminals."""
