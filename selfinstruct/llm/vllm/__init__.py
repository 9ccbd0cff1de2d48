"""A vLLM server of our own: its command line, its start and end, its log and its figures. vLLM is never imported."""
