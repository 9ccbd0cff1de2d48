"""The built-in model: a book of tasks behind a real HTTP server."""
