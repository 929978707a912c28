"""Our own view of who is there: pushed when it changes, with the evidence behind it."""
