"""The built-in model: a rule-based writer behind a real HTTP server."""
