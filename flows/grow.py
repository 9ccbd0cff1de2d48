"""The flow `grow`, where prefect.yaml looks for it."""

from selfinstruct.scheduling.grow import grow

__all__ = ["grow"]
