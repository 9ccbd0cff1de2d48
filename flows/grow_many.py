"""The flow `grow_many`, where prefect.yaml looks for it."""

from selfinstruct.scheduling.many import grow_many

__all__ = ["grow_many"]
