"""How varied instructions are, in figures."""
