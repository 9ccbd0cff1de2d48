"""The turns of a conversation: who speaks, and what is said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from selfinstruct.seeds.columns import ANSWERS, ASKED, GIVEN, plain

_ROLES: Mapping[str, str] = {
    **dict.fromkeys(("system", "developer", "system_prompt", "instructions"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "person", "customer", "question", "instruction"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "chatgpt", "model", "bot", "chatbot", "ai", "agent", "llm", "answer", "response"),
        "assistant",
    ),
    **dict.fromkeys(
        ("tool", "function", "function_call", "tool_call", "tool_response", "observation", "ipython", "environment"),
        "tool",
    ),
}
"""Who speaks, by the names in use."""
_UNREAD_PARTS = frozenset({"thinking", "reasoning", "redacted_thinking", "tool_use", "tool_call", "tool_result"})
_SPEAKER = re.compile(
    r"(?:\A\s*|\n\s*\n|\n(?=#))(?:#+ *)?(Human|User|Prompter|Assistant|AI|Bot|System) *:", re.IGNORECASE
)
"""The beginning of a turn in a conversation that is one text."""
END = "<|endoftext|>"
"""The end of a completion in files of the form self-instruct; elsewhere it is part of the text."""
_BEFORE = ("Task: ", "Instruction: ", "What to do: ", "Do the following. ")
_BETWEEN = ("\nInput: ", "\nGiven: ", "\n\nWith this: ", "\n\nThis is given:\n", "\n\n---\n")
_AFTER = ("Output:", "Answer:", "Result:", "What is the answer?", "---")


@dataclass(frozen=True, slots=True)
class TalkText:
    """A text read from a list of parts or of texts."""

    text: str
    others: int = 0
    """Further texts in the list, which are other answers."""


def read_text(value: list[object] | dict[str, object]) -> TalkText | str | None:
    """The text in a list of parts, or the first of a list of texts.

    A str names a part that is no text; None means that this is no list of parts.
    """
    if isinstance(value, dict):
        parts = value.get("parts", value.get("text", value.get("content")))
        if isinstance(parts, str):
            return TalkText(parts)
        value = parts if isinstance(parts, list) else []
    if not value:
        return None
    if all(isinstance(one, str) for one in value):
        return TalkText(str(value[0]), len(value) - 1)
    found = []
    for part in value:
        named = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, str):
            found.append(part)
        elif not isinstance(part, dict):
            return None
        elif isinstance(text := part.get("text"), str):
            found.append(text)
        elif named not in _UNREAD_PARTS:
            return f'a part of type "{plain(named)}"' if isinstance(named, str) else None
    return TalkText("\n".join(found))


def turns_of(value: object) -> list[tuple[str, object]]:
    """The turns of a conversation, each with who speaks (empty: not known); an empty list if it is no conversation.

    A turn is an object with a role and a content, or with a question and its answer. A list of texts alternates, and
    the user begins. In one text each turn begins with a name such as `Human:`.
    """
    if isinstance(value, str):
        speakers = list(_SPEAKER.finditer(value)) if _SPEAKER.match(value) else []
        ends = [*(one.start() for one in speakers[1:]), len(value)]
        return [
            (role_of(one[1]), {"content": value[one.end() : end].strip()})
            for one, end in zip(speakers, ends, strict=False)
        ]
    if not isinstance(value, list) or not value:
        return []
    if len(value) > 1 and all(isinstance(turn, str) for turn in value):
        return [("assistant" if place % 2 else "user", {"content": turn}) for place, turn in enumerate(value)]
    found: list[tuple[str, object]] = []
    for turn in value:
        found += _spoken(turn)
    return found


def has_turns(value: object) -> bool:
    """Are these turns, at least one with a known speaker?"""
    return isinstance(value, list) and any(isinstance(turn, dict) and _spoken(turn)[0][0] for turn in value)


def _spoken(turn: object) -> list[tuple[str, object]]:
    if not isinstance(turn, dict):
        return [("", turn)]
    name = next((turn[key] for key in ("role", "from", "speaker", "author") if key in turn), None)
    if isinstance(name, str):
        return [(role_of(name), turn)]
    if name is None:
        names = {key: plain(key) for key in turn if isinstance(key, str)}
        system = [key for key, one in names.items() if _ROLES.get(one) == "system"]
        asked = [key for key, one in names.items() if one in {*ASKED, *GIVEN} or _ROLES.get(one) == "user"]
        answer = [key for key, one in names.items() if one in ANSWERS or _ROLES.get(one) == "assistant"]
        if asked and answer:
            first = [("system", {"content": turn[key]}) for key in system[:1] if turn[key]]
            return [*first, ("user", {"content": turn[asked[0]]}), ("assistant", {"content": turn[answer[0]]})]
    return [("", turn)]


def role_of(name: str) -> str:
    """The role of a speaker's name: system, user, assistant or tool; empty for other names."""
    simple = plain(name)
    return _ROLES.get(simple) or ("assistant" if simple.startswith(("gpt", "claude", "llama", "bing", "bard")) else "")


def unframed(prompt: str, completion: str) -> tuple[str, str, str]:
    """Instruction, input and output of a prompt and its completion. Only the form self-instruct is split."""
    asked = prompt.rstrip()
    after = next((mark for mark in _AFTER if asked.endswith(mark)), "")
    if not completion.endswith(END) or not (after or prompt.endswith("\n\n")):
        return prompt, "", completion
    asked = asked.removesuffix(after).rstrip()
    asked = next((asked.removeprefix(mark) for mark in _BEFORE if asked.startswith(mark)), asked)
    mark = next((mark for mark in _BETWEEN if mark in asked), None)
    instruction, _, given = asked.partition(mark) if mark else (asked, "", "")
    output = completion.removesuffix(END)
    return instruction.rstrip(), given, output.removeprefix(" ") if prompt.endswith(":") else output
