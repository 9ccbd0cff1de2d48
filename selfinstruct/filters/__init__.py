"""The rules a candidate must pass, one function a rule, each with a stable reason."""
