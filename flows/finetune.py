"""The flow `finetune`, where prefect.yaml looks for it."""

from selfinstruct.scheduling.finetune import finetune

__all__ = ["finetune"]
