"""What does not belong into an answer: markers of prompts, chats and lists, and characters that nobody sees."""

from __future__ import annotations

import regex

from selfinstruct.filters.wording import Fault, excerpt
from selfinstruct.records import Instance, Task

_CHAT_TOKEN = regex.compile(
    r"<\|(?:im_(?:start|end|sep)|endof(?:text|prompt)|eo[tsm]_id|(?:start|end)_header_id|begin_of_text|end_of_text|user|assistant"
    r"|system|end|pad)\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|^\s*<s>|</s>\s*$"
    r"|^\s*</?think(?:ing)?>|</think(?:ing)?>",
)
_ABOUT_TOKENS = regex.compile(
    r"\b(?:tokens?|chat\s*ml|chat\s+template|prompt\s+(?:format|template)|special\s+(?:tokens?|characters?)|tags?|html|xml)\b",
    regex.IGNORECASE,
)
_FIELD = regex.compile(
    r"\s*(?:#{1,6}\s*)?\**\s*(?P<label>(?:expected\s+)?output|(?:model\s+|ai\s+)?response|completion|assistant|chatgpt|(?:ai|bot)"
    r"|example\s*\d*|instruction|input|输出|回复|助手|ausgabe|réponse|salida)\s*\d{0,2}\**\s*[:：]\**(?=\s)"
    r"|\s*#{1,6}\s*\**(?P<label>output|response|completion|assistant|answer)\**\s*\n",
    regex.IGNORECASE,
)
_TURN = regex.compile(
    r"\n[ \t]{0,8}(?:#{1,6}[ \t]{0,8}|\*{0,2})(?P<who>human|user|assistant)\*{0,2}[ \t]{0,8}[:：]", regex.IGNORECASE
)
_SPEAKER = regex.compile(r"\s*\**[\p{L}][\p{L} .]{0,20}\**\s*[:：]")
_TALK = regex.compile(
    r"\b(?:dialog(?:ue)?s?|conversations?|chats?|chat-?bot|script|interview|transcript|scene|role-?play|turns?|speakers?|assistants?"
    r"|users?|human|play|exchange|support)\b|对话|聊天|访谈|剧本",
    regex.IGNORECASE,
)
_LAST_MARKER = regex.compile(r"\n[ \t]*(?:\d{1,3}[.)、．]|[-*•–])[ \t]*$")
_LONE_ITEM = regex.compile(r"\s*+(?:\d{1,3}[.)]|[•▪])\s++(?P<word>\p{L}++)[^\n]*+", regex.IGNORECASE)
_ASKS_FOR_LISTS = regex.compile(
    r"\b(?:lists?|bullets?|points?|items?|steps?|number(?:ed|s)?|name|ways?|tips?|ideas?|examples?|reasons?|rank\w*|order|sort\w*"
    r"|enumerat\w*|outline|options?|choices?|choose|which|pick|select|multiple|agenda|recipe|moves?|chess|dates?|day|when|ordinal"
    r"|some|several|few|two|three|four|five|six|ten|\d+|format|convert|complete|continue|correct|rewrite|copy|next)\b"
    r"|列|条|点|步骤|举|几|排",
    regex.IGNORECASE,
)
_MONTH = regex.compile(
    r"(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz]|klasse|stock|kapitel|platz|etage)",
    regex.IGNORECASE,
)

_FORCED_DIRECTION = regex.compile(r"[\u202a\u202b\u202d\u202e]")
_TAGS = regex.compile(r"(?<!\U0001f3f4[\U000e0020-\U000e007f]{0,10})[\U000e0001\U000e0020-\U000e007f]+")
_INSIDE = regex.compile(
    r"(?<=[\p{Latin}\p{Cyrillic}\p{Greek}\p{Han}\p{N}])[\u200b\u2060\ufeff\u00ad\u180e\u2061-\u2064]+(?=[\p{L}\p{N}])"
)
_SYLLABLES = regex.compile(
    r"\b(?:syllab\w*|hyphen\w*|line[\s-]?breaks?|unicode|invisible|zero[\s-]?width|characters?)\b", regex.IGNORECASE
)


def leftover_marker(task: Task, instance: Instance) -> Fault | None:
    """`leftover_marker` for an output with markers that are no part of the answer.

    That is: tokens of chat templates; a field name such as "Output:" or "### Response" in front; another turn of a chat
    behind; a list marker with nothing behind it at the end, or one before the only line where no list was asked for.
    Each is fine where the task is about such things, or has it itself.
    """
    output, asked = instance.output, f"{task.instruction}\n{instance.input}"
    if (found := _CHAT_TOKEN.search(output)) and not _ABOUT_TOKENS.search(asked) and found[0].strip() not in asked:
        return Fault("leftover_marker", f'"{excerpt(found[0])}"')
    if (found := _FIELD.match(output.lstrip()[:100])) and not _is_named(found["label"], asked):
        return Fault("leftover_marker", f'begins "{excerpt(found[0])}"')
    if (found := _TURN.search(output)) and not _TALK.search(asked) and not _SPEAKER.match(output):
        return Fault("leftover_marker", f'"{excerpt(output[found.start() :])}"')
    if (found := _LAST_MARKER.search(output.rstrip())) and not _LAST_MARKER.search(f"\n{asked.rstrip()}"):
        return Fault("leftover_marker", f'ends "{excerpt(found[0])}"')
    if found := _LONE_ITEM.fullmatch(output.rstrip()):
        is_date = _MONTH.match(found["word"])
        if (
            len(output.split()) > 2
            and not is_date
            and not _ASKS_FOR_LISTS.search(task.instruction)
            and not instance.input
        ):
            return Fault("leftover_marker", f'begins "{excerpt(output, 40)}"')
    return None


def _is_named(label: str, asked: str) -> bool:
    """Whether the task itself speaks of this label, or of parts that answers have."""
    words = regex.split(r"\s+", label.strip())
    return any(regex.search(rf"(?<!\p{{L}}){regex.escape(word)}", asked, regex.IGNORECASE) for word in words) or bool(
        regex.search(r"\b(?:inputs?|outputs?|format|template|label|field|program|function|code|prompts?)\b", asked)
    )


def hidden_characters(task: Task, instance: Instance) -> Fault | None:
    """`hidden_characters` for an output with characters that are not seen and change what is read.

    That is: overrides of the writing direction, Unicode tags (in flags they are fine), and zero-width characters inside
    of words, unless the task is about such or has them. Joiners that scripts and emoji need, and a mark of byte order
    at the beginning, are fine.
    """
    if _SYLLABLES.search(task.instruction):
        return None
    asked = f"{task.instruction}\n{instance.input}"
    for pattern in (_FORCED_DIRECTION, _TAGS, _INSIDE):
        found = pattern.search(instance.output)
        if found and not pattern.search(asked):
            place = f"U+{ord(found[0][0]):04X} at character {found.start()}"
            return Fault("hidden_characters", place)
    return None
