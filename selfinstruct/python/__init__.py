"""The interface for Python programs and notebooks; `selfinstruct/__init__.py` names what is public."""
