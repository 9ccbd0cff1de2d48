"""The pump of a run: what is asked when, and what of it is durable."""
