"""What a model thought aloud, separated from its answer, in every form that models and servers are known for.

Servers with a parser for a model's form send the thinking in a field of its own; this is for all others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = r"think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|chain_of_thought|inner_monologue|cot"
_SPOKEN_OF = r"(?![ \t]+(?:is|are|was|were|and|or|tags?|elements?|blocks?|means?|marks?|opens?|begins?|starts?)\b)"
"""Not before such words: an answer that begins with a tag may be about it."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How thinking is marked."""

    opening: re.Pattern[str]
    closing: str
    """A pattern; `{tag}` in it stands for the name in the opening."""
    apart: re.Pattern[str] | None
    """The closing where the template of the chat has written the opening: it begins or ends a line."""
    may_break_off: bool = True
    """Without a closing all of it is thinking."""


def _form(opening: str, closing: str, tag: str = "", *, or_by: str = "", is_words: bool = False) -> _Form:
    """The form of these patterns, in which `{tag}` stands for a name; what it is `or_by` closed says nothing alone."""
    begins = re.compile(opening.replace("{tag}", f"(?P<tag>{tag})") + _SPOKEN_OF, re.IGNORECASE)
    ends = closing.replace("{tag}", f"(?:{tag})")
    apart = re.compile(rf"^[ \t]*(?:{ends})|(?:{ends})[ \t\r]*$", re.MULTILINE | re.IGNORECASE)
    return _Form(begins, f"{closing}|{or_by}" if or_by else closing, None if is_words else apart, not is_words)


_FORMS = (
    _form(r"<{tag}(?:\s[^<>\n]{0,80})?>", r"</{tag}>", rf"(?:[\w-]{{1,20}}[:|_])?think(?:ing)?|{_WORD}"),
    _form(r"\[{tag}\]", r"\[/{tag}\]", "think(?:ing)?"),
    _form("◁think▷", "◁/think▷"),
    _form(r"<\|(?:begin|start)(?:_of)?_{tag}\|>", r"<\|end(?:_of)?_{tag}\|>", _WORD),
    _form(r"<\|{tag}_(?:begin|start)\|>", r"<\|{tag}_end\|>", _WORD),
    _form(r"<\|{tag}\|>", r"<(?:/\||\|/|\|end_){tag}\|>", _WORD,
          or_by=r"<\|end\|>(?:<\|begin\|>assistant<\|content\|>)?"),
    _form(r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
    _form(r"<\|channel>(?:thought\n)?", r"<channel\|>"),
    _form(r"\[unused16\]", r"\[unused17\]"),
    _form("Here(?:'s|’s| is) my thought process:", "Here(?:'s|’s| is) my response:", is_words=True),
)  # fmt: skip
"""Opening and closing, as the models of Qwen, DeepSeek, ByteDance, Mistral, Moonshot, Cohere, Google, IBM and others
have them."""

_CHANNEL = re.compile(
    r"<\|channel\|>[ \t]*(?P<name>\w+)[^<\n]{0,200}(?:<\|constrain\|>\s*\w+\s*)?<\|message\|>", re.IGNORECASE
)
_CHANNELS = re.compile(r"\s*(?:<\|start\|>assistant[^<\n]{0,200})?(?=<\|channel\|>\w)", re.IGNORECASE)
_CHANNEL_ENDS = re.compile(r"<\|(?:end|return|call|start)\|>")
_LAST_CHANNEL = re.compile(r"<\|end\|>\s*<\|start\|>assistant\s*<\|channel\|>\s*final[^<\n]{0,200}<\|message\|>")
_BARE_CHANNELS = re.compile(r"\s*analysis(?=\S)(?P<thought>.*?)assistantfinal(?P<text>.*)", re.DOTALL)
"""What is left of channels where the server drops special tokens."""

_NAMES = r"answer|output|response|solution|final_answer|final"
_WRAPPER = re.compile(rf"<(?P<tag>{_NAMES})>|<\|(?:begin_of|start)_(?P<token>{_NAMES}|text)\|>", re.IGNORECASE)
_LAST_TOKEN = re.compile(r"<\|/?\w{2,40}\|>\Z")
_SPACE = re.compile(r"\s*")


def without_thinking(text: str, *, may_be_opened: bool) -> tuple[str, str]:
    """What a model thought before its answer, and the answer; empty where the thinking never ends.

    `may_be_opened`: the chat template may have written the opening itself, so that only the closing is in the text. It
    then begins or ends a line and is the first; within a line, or after an opening, it is spoken of.
    """
    found = _channels(text, may_be_opened=may_be_opened) or _marked(text) or (_ended(text) if may_be_opened else None)
    if found is None:
        return "", text
    thought, answer = found
    return thought.strip(), _unwrapped(answer)


def _channels(text: str, *, may_be_opened: bool) -> tuple[str, str] | None:
    """The channels of gpt-oss: only the one named `final` is the answer."""
    begun = _CHANNELS.match(text)
    if begun is None:
        bare = _BARE_CHANNELS.match(text)
        if bare is not None:
            return bare["thought"], bare["text"]
        last = _LAST_CHANNEL.search(text) if may_be_opened else None
        return None if last is None else (text[: last.start()], _body(text, last.end(), len(text)))
    thoughts: list[str] = []
    answers: list[str] = []
    headers = list(_CHANNEL.finditer(text, begun.end()))
    for header, after in zip(headers, [*headers[1:], None], strict=True):
        body = _body(text, header.end(), after.start() if after else len(text))
        (answers if header["name"].lower() == "final" else thoughts).append(body)
    return "\n".join(thoughts), "".join(answers)


def _body(text: str, start: int, end: int) -> str:
    closed = _CHANNEL_ENDS.search(text, start, end)
    return text[start : closed.start() if closed else end]


def _marked(text: str) -> tuple[str, str] | None:
    """Thinking that the text begins with, also several pieces of it."""
    thoughts: list[str] = []
    place = 0
    while (found := _piece(text, _SPACE.match(text, place).end())) is not None:  # type: ignore[union-attr]
        thought, place = found
        thoughts.append(thought.strip())
    return ("\n".join(filter(None, thoughts)), text[place:]) if place else None


def _piece(text: str, start: int) -> tuple[str, int] | None:
    """The thinking that begins here, and where it ends."""
    for form in _FORMS:
        opening = form.opening.match(text, start)
        if opening is None:
            continue
        closing = form.closing.replace("{tag}", re.escape(opening.groupdict().get("tag", "")))
        end = re.compile(closing, re.IGNORECASE).search(text, opening.end())
        if end is not None:
            return text[opening.end() : end.start()], end.end()
        return (text[opening.end() :], len(text)) if form.may_break_off else None
    return None


def _ended(text: str) -> tuple[str, str] | None:
    """Thinking whose opening is not in the text."""
    if not any(mark in text for mark in "<[◁"):  # one of which every closing has
        return None
    ends = [(end.start(), form, end) for form in _FORMS if form.apart and (end := form.apart.search(text))]
    if not ends:
        return None
    start, form, end = min(ends, key=lambda one: one[0])
    return None if form.opening.search(text, 0, start) else (text[:start], text[end.end() :])


def _unwrapped(answer: str) -> str:
    """An answer without the tags that stand around the whole of it, as some models write after their thinking."""
    rest = answer.lstrip()
    while (token := _LAST_TOKEN.search(rest, max(0, len(rest) - 44))) is not None:
        rest = rest[: token.start()].rstrip()
    wrapper = _WRAPPER.match(rest)
    if wrapper is None:
        return rest
    closing = rf"</{wrapper['tag']}>" if wrapper["tag"] else rf"<\|end(?:_of)?_{wrapper['token']}\|>"
    inner, *after = re.split(closing, rest[wrapper.end() :], maxsplit=1, flags=re.IGNORECASE)
    return rest if "".join(after).strip() else inner.strip()
