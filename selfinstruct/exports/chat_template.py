"""The rows in a tokenizer's own chat template: how long they become, and whether each text is still whole."""

from __future__ import annotations

import hashlib
import os
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfinstruct.errors import ConfigError
from selfinstruct.exports.formats import Wording, messages
from selfinstruct.pool.records import Row

FAULTS = {
    "swallowed": "a text, or a part of it, is missing in the rendered row",
    "doubled": "a text is in the rendered row more than once",
    "trimmed": "white space at an end of a text is lost",
    "special_tokens": "a text holds a special token of the tokenizer, which reads it as one",
    "prompt_differs": "the rendered row does not begin with the rendered prompt, so the answer cannot be found",
    "refused": "the template gives an error",
}
"""The faults of a row, in words; a row may have several."""
_SHOWN = 20
_MARKS = {"system": "qSYSTEM{}q7q", "user": "qUSER{}q7q", "assistant": "qANSWER{}q7q"}
"""What stands for the text of a turn, by role; with the turn's place in the conversation."""
_MARK = re.compile("|".join(mark.format(r"\d+") for mark in _MARKS.values()))
_DATE = "26 Jul 2024"
"""Some templates write a date. With a fixed one the figures do not change from day to day."""
_CLOCK = "strftime_now"
"""The function that templates call for the time. With a real clock no two renderings would be the same."""
_STOPPED = f"{{% macro {_CLOCK}(format) -%}}{_DATE}{{%- endmacro %}}\n"
"""A line that adds nothing to the rendered text."""


class ChatTemplate:
    """A tokenizer with its chat template, and the figures of the rows that were counted."""

    def __init__(self, name: str, wording: Wording, max_tokens: int | None = None) -> None:
        self._tokenizer, self._errors = _loaded(name)
        self._wording = wording
        self._name = None if Path(name).exists() else name
        longest = self._tokenizer.model_max_length
        self._limit = max_tokens or (longest if longest < 10**9 else None)  # 10**30 if the tokenizer sets none
        own = str(self._tokenizer.get_chat_template())
        self._sha256 = hashlib.sha256(own.encode()).hexdigest()
        self._template = _STOPPED + own if _CLOCK in own else own
        self._special = _any_of({*self._tokenizer.all_special_tokens, *_marks(self._tokenizer, own)})
        self._frames: dict[tuple[str, ...], str] = {}
        try:
            self._frame(("system", "user", "assistant") if wording.system else ("user", "assistant"))
        except self._errors as error:
            hint = "; leave out --system if it takes none" if wording.system else ""
            raise ConfigError(
                f"--tokenizer {name}: its chat template refuses a plain conversation ({error}){hint}"
            ) from error
        self._lengths = array("l")
        self._learned = 0
        self._faults: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}

    def tokens(self, row: Row) -> int:
        """The tokens of a row in the template; 0 if the template refuses it."""
        try:
            return len(self._encode(self._render(messages(row, self._wording))))
        except self._errors:
            return 0

    def count(self, row: Row) -> None:
        """Render a row and count its tokens and faults."""
        turns = messages(row, self._wording)
        roles, texts = tuple(turn["role"] for turn in turns), [turn["content"] for turn in turns]
        answers = [place for place, role in enumerate(roles) if role == "assistant"]
        try:
            whole = self._render(turns)
            pieces = [
                (self._render(turns[:place], add_generation_prompt=True), self._render(turns[: place + 1]))
                for place in answers
            ]
            frame = self._frame(roles)
        except self._errors:
            self._note(["refused"], row)
            return
        tokens = self._encode(whole)
        self._lengths.append(len(tokens))
        faults = _faults_of(whole, frame, dict(zip(_marks_of(roles), texts, strict=True)))
        encoded = [(self._encode(prompt), self._encode(answered)) for prompt, answered in pieces]
        if all(tokens[: len(begin)] == begin for begin, _ in encoded):
            self._learned += sum(len(end) - len(begin) for begin, end in encoded)
        else:
            faults.append("prompt_differs")
        if any(map(self._special.search, texts)):
            faults.append("special_tokens")
        self._note(faults, row)

    def to_json(self) -> dict[str, Any]:
        """The figures as in the manifest."""
        lengths = sorted(self._lengths)
        total = sum(lengths)
        over = sum(length > self._limit for length in lengths) if self._limit else 0
        return {
            "tokenizer": self._name,
            "template_sha256": self._sha256,
            "vocabulary": len(self._tokenizer),
            "rows": len(lengths) + self._faults["refused"],
            "tokens": {
                "total": total,
                "mean": round(total / max(1, len(lengths)), 4),
                **{f"p{share}": _percentile(lengths, share) for share in (50, 90, 99)},
                "max": lengths[-1] if lengths else 0,
            },
            "limit": self._limit,
            "rows_over_limit": over,
            "share_of_tokens_learned": round(self._learned / max(1, total), 4),
            "faults": {fault: self._faults[fault] for fault in FAULTS if self._faults[fault]},
            "examples": {fault: self._examples[fault] for fault in FAULTS if fault in self._examples},
        }

    def _frame(self, roles: tuple[str, ...]) -> str:
        """What the template writes around the texts of a conversation with these turns."""
        if roles not in self._frames:
            marks = zip(roles, _marks_of(roles), strict=True)
            self._frames[roles] = self._render([{"role": role, "content": mark} for role, mark in marks])
        return self._frames[roles]

    def _note(self, faults: Sequence[str], row: Row) -> None:
        self._faults.update(faults)
        for fault in faults:
            examples = self._examples.setdefault(fault, [])
            if len(examples) < _SHOWN:
                examples.append(row.id)

    def _render(self, turns: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = False) -> str:
        text = self._tokenizer.apply_chat_template(
            list(turns), chat_template=self._template, tokenize=False, add_generation_prompt=add_generation_prompt,
            date_string=_DATE,
        )  # fmt: skip
        return str(text)

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _marks_of(roles: Sequence[str]) -> list[str]:
    return [_MARKS[role].format(place) for place, role in enumerate(roles)]


def _faults_of(whole: str, frame: str, texts: Mapping[str, str]) -> list[str]:
    """Compare the rendered row with the template's frame, filled with the texts by their marks."""
    copies = {mark: frame.count(mark) for mark in texts}
    faults = {"doubled" for mark in texts if copies[mark] > 1}
    if whole == _MARK.sub(lambda found: texts.get(found[0], found[0]), frame):
        return sorted(faults | {"swallowed" for mark in texts if not copies[mark]})
    for mark, text in texts.items():
        others = {**texts, mark: ""}
        elsewhere = _MARK.sub(lambda found: others.get(found[0], found[0]), frame)  # noqa: B023 - used in this turn
        found = whole.count(text) - elsewhere.count(text)
        if found > 1:
            faults.add("doubled")
        elif found < 1:
            stripped = text.strip()
            faults.add("trimmed" if stripped != text and stripped in whole else "swallowed")
    return sorted(faults or {"swallowed"})


def _marks(tokenizer: Any, template: str) -> Iterator[str]:
    """The added tokens that have a meaning; others are white space or words, which texts may hold."""
    for token in tokenizer.added_tokens_decoder.values():
        if token.special or (token.content.strip() and token.content in template):
            yield token.content


def _any_of(words: set[str]) -> re.Pattern[str]:
    """A pattern for any of these words."""
    longest_first = sorted(filter(None, words), key=lambda word: (-len(word), word))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _percentile(ordered: Sequence[int], share: int) -> int:
    """The least length that `share` percent of the rows do not exceed."""
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)] if ordered else 0


def _loaded(name: str) -> tuple[Any, tuple[type[Exception], ...]]:
    """The tokenizer at this path or of this name, and the errors of its template. Code that comes with it is not run.

    Raises:
        ConfigError: transformers is missing, or this is no tokenizer with a chat template.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # such as that there is no PyTorch
    try:
        import huggingface_hub  # noqa: PLC0415 - seconds of import, for those who name a tokenizer
        import jinja2  # noqa: PLC0415
        import transformers  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"--tokenizer needs the package {error.name}: pip install 'selfinstruct[tokenizer]'"
        ) from error
    if name.startswith(("/", ".", "~")) and not Path(name).exists():
        raise ConfigError(f"--tokenizer {name}: there is no such folder")
    huggingface_hub.utils.logging.set_verbosity_error()  # or it tells of each of many tries without a network
    transformers.utils.logging.set_verbosity_error()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            name, trust_remote_code=False, local_files_only=Path(name).exists()
        )
    except Exception as error:  # tokenizers raises just this class for a file that it cannot read
        said = " ".join(str(error).split())
        raise ConfigError(
            f"--tokenizer {name}: cannot be loaded ({said[:300]}); wanted a folder with a tokenizer, or its name on "
            "the Hugging Face Hub"
        ) from error
    if not tokenizer.chat_template:
        raise ConfigError(f"--tokenizer {name}: it has no chat template; name that of a chat model")
    return tokenizer, (jinja2.TemplateError, ValueError, TypeError)
