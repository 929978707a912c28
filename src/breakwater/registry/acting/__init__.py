"""What an operator does to an instance: drop, drain, pin, override; each act is in the journal."""
