"""The built-in model: a book of tasks, answered by a real HTTP server."""
