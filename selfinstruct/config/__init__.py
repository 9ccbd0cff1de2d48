"""The configuration: read and checked once, at the edge."""
