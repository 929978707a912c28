"""How many series there may be of what, and what there is."""
