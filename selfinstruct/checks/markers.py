"""What does not belong in an answer: markers of prompts, chats and lists, and characters that nobody sees."""

from __future__ import annotations

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.word_lists import any_of, words
from selfinstruct.checks.wording import quoted
from selfinstruct.types import Instance, Task

_CHAT_TOKEN = regex.compile(
    r"<\|(?:im_(?:start|end|sep)|endof(?:text|prompt)|eo[tsm]_id|(?:start|end)_header_id|begin_of_text|end_of_text|user|assistant"
    r"|system|end|pad)\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|^\s*<s>|</s>\s*$"
    r"|^\s*</?think(?:ing)?>|</think(?:ing)?>",
)
_FIELD = regex.compile(
    r"\s*(?:#{1,6}\s*)?\**\s*(?P<label>output|response|completion|assistant|chatgpt|(?:ai|bot)|instruction|input|输出|回复)\s*\d{0,2}\**\s*[:：]\**(?=\s)"
    r"|\s*#{1,6}\s*\**(?P<label>output|response|completion|assistant|answer)\**\s*\n",
    regex.IGNORECASE,
)
_TURN = regex.compile(
    r"\n[ \t]{0,8}(?:#{1,6}[ \t]{0,8}|\*{0,2})(?P<who>human|user|assistant)\*{0,2}[ \t]{0,8}[:：]", regex.IGNORECASE
)
_SPEAKER = regex.compile(r"\s*\**[\p{L}][\p{L} .]{0,20}\**\s*[:：]")
_LAST_MARKER = regex.compile(r"\n[ \t]*(?:\d{1,3}[.)、．]|[-*•–])[ \t]*$")
_LONE_ITEM = regex.compile(rf"\s*+(?:\d{{1,3}}[.)]|[•▪])\s++(?!{any_of('months')})\p{{L}}[^\n]*+", regex.IGNORECASE)
_FORCED_DIRECTION = regex.compile(r"[\u202a\u202b\u202d\u202e]")
_TAGS = regex.compile(r"(?<!\U0001f3f4[\U000e0020-\U000e007f]{0,10})[\U000e0001\U000e0020-\U000e007f]+")
_INSIDE = regex.compile(
    r"(?<=[\p{Latin}\p{Cyrillic}\p{Greek}\p{Han}\p{N}])[\u200b\u2060\ufeff\u00ad\u180e\u2061-\u2064]+(?=[\p{L}\p{N}])"
)


def leftover_marker(task: Task, instance: Instance) -> Fault | None:
    """`leftover_marker` for an output with markers that are no part of the answer.

    That is: tokens of chat templates; a field name such as "Output:" or "### Response" in front; another turn of a chat
    after the answer; a list marker with nothing after it at the end, or one before the only line where no list was
    asked for. Each is fine where the task is about such things, or has it itself.
    """
    output, asked = instance.output, f"{task.instruction}\n{instance.input}"
    found = _CHAT_TOKEN.search(output)
    if found and not words("about_tokens").search(asked) and found[0].strip() not in asked:
        return reject("leftover_marker", quoted(found[0]))
    if (found := _FIELD.match(output.lstrip()[:100])) and not _is_named(found["label"], asked):
        return reject("leftover_marker", f"begins {quoted(found[0])}")
    if (found := _TURN.search(output)) and not words("conversation").search(asked) and not _SPEAKER.match(output):
        return reject("leftover_marker", quoted(output[found.start() :]))
    if (found := _LAST_MARKER.search(output.rstrip())) and not _LAST_MARKER.search(f"\n{asked.rstrip()}"):
        return reject("leftover_marker", f"ends {quoted(found[0])}")
    is_item = _LONE_ITEM.fullmatch(output.rstrip()) and len(output.split()) > 2
    if is_item and not instance.input and not regex.search(r"\d", task.instruction):
        asks = words("asks_for_lists").search(task.instruction)
        return None if asks else reject("leftover_marker", f"begins {quoted(output, 40)}")
    return None


def _is_named(label: str, asked: str) -> bool:
    """Whether the task itself speaks of this label, or of parts that answers have."""
    pieces = regex.split(r"\s+", label.strip())
    named = any(regex.search(rf"(?<!\p{{L}}){regex.escape(one)}", asked, regex.IGNORECASE) for one in pieces)
    return named or bool(words("about_parts").search(asked))


def hidden_characters(task: Task, instance: Instance) -> Fault | None:
    """`hidden_characters` for an output with characters that are not seen and change what is read.

    That is: overrides of the writing direction, Unicode tags (in flags they are fine), and zero-width characters inside
    of words, unless the task is about such or has them. Joiners that scripts and emoji need, and a mark of byte order
    at the beginning, are fine.
    """
    if words("about_characters").search(task.instruction):
        return None
    asked = f"{task.instruction}\n{instance.input}"
    for pattern in (_FORCED_DIRECTION, _TAGS, _INSIDE):
        found = pattern.search(instance.output)
        if found and not pattern.search(asked):
            return reject("hidden_characters", f"U+{ord(found[0][0]):04X} at character {found.start()}")
    return None
