"""Where new instructions come from."""
