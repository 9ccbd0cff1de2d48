"""How alike two instructions are, and which one is nearest."""
