"""The flow `publish`, where prefect.yaml looks for it."""

from selfinstruct.scheduling.publish import publish

__all__ = ["publish"]
