"""One row of training data in each of the forms that trainers take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from selfinstruct.store.reading import Row


def alpaca(row: Row) -> dict[str, Any]:
    """The fields of Alpaca: instruction, input, output."""
    return {"instruction": row.instruction, "input": row.instance.input, "output": row.instance.output}


def messages(row: Row) -> dict[str, Any]:
    """A conversation as OpenAI's chat fine-tuning and most trainers take it: what the user says, what is answered."""
    asked = f"{row.instruction}\n\n{row.instance.input}" if row.instance.input else row.instruction
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": row.instance.output}]}


FORMATS: Mapping[str, Callable[[Row], dict[str, Any]]] = {"alpaca": alpaca, "messages": messages}
