"""How many calls may be under way or come in: fixed, shared out, adaptive, by rate, by worth."""
