"""The flow `finetune`, where prefect.yaml looks for it."""

from selfinstruct.scheduling.publish import finetune

__all__ = ["finetune"]
