"""How a fine-tuned model is measured: rows as tokens, loss, answers, and their scores."""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_data import JobError, Row

Model = Any
Tokenizer = Any

TEMPLATE_OPTIONS = {"enable_thinking": False}
"""What chat templates are told: rows have no reasoning, so prompts must not open any. Most templates ignore it."""


# --- tokens ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row as tokens: what is asked, all of it with the answer, and where the loss begins."""

    asked: list[int]
    whole: list[int]
    start: int


def encode(tokenizer: Tokenizer, row: Row) -> Encoded:
    """The tokens as TRL makes them: the loss begins where the prompt alone and the whole part."""
    if isinstance(row.prompt, str):
        asked = tokenizer(row.prompt)["input_ids"]
        answer = (
            row.answers[0] if row.answers[0].endswith(tokenizer.eos_token) else row.answers[0] + tokenizer.eos_token
        )
        whole = tokenizer(row.prompt + answer)["input_ids"]
    else:
        prompt, answer = list(row.prompt), {"role": "assistant", "content": row.answers[0]}
        options = {"tokenize": True, "return_dict": True, **TEMPLATE_OPTIONS}
        asked = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, **options)["input_ids"]
        whole = tokenizer.apply_chat_template([*prompt, answer], **options)["input_ids"]
    start = next((place for place, pair in enumerate(zip(asked, whole, strict=False)) if pair[0] != pair[1]), None)
    return Encoded(asked, whole, min(len(asked), len(whole)) if start is None else start)


def usable(
    tokenizer: Tokenizer, rows: Sequence[Row], max_length: int
) -> tuple[list[tuple[Row, Encoded]], dict[str, int]]:
    """The rows that fit and whose template keeps the answer as it is, and how many are left out for what."""
    kept: list[tuple[Row, Encoded]] = []
    left_out = Counter(too_long=0, changed_by_template=0)
    for row in rows:
        one = _encoded(tokenizer, row)
        fault = _fault(tokenizer, row, one, max_length)
        if fault is None:
            kept.append((row, one))
        else:
            left_out[fault] += 1
    return kept, dict(left_out)


def answerable(tokenizer: Tokenizer, rows: Sequence[Row], max_length: int) -> list[Row]:
    """The rows whose prompt fits, which is all that an answer needs."""
    return [row for row in rows if len(_encoded(tokenizer, row).asked) <= max_length]


def _encoded(tokenizer: Tokenizer, row: Row) -> Encoded:
    from jinja2 import TemplateError

    try:
        return encode(tokenizer, row)
    except (TemplateError, TypeError, ValueError) as error:
        raise JobError(f"{row.place}: the chat template cannot take it ({error}); try --chat-template") from error


def _fault(tokenizer: Tokenizer, row: Row, one: Encoded, max_length: int) -> str | None:
    if len(one.whole) > max_length:
        return "too_long"
    if row.answers[0].strip() not in tokenizer.decode(one.whole[one.start :]):
        return "changed_by_template"
    return None


def frame(tokenizer: Tokenizer, row: Row, one: Encoded) -> tuple[str, str]:
    """What the loss sees before and after the answer's own text: usually nothing, and the end of the turn."""
    before, _, after = tokenizer.decode(one.whole[one.start :]).partition(row.answers[0].strip())
    return before, after


def stops(tokenizer: Tokenizer, model: Model, row: Row) -> list[int]:
    """The tokens that end an answer: the tokenizer's, the model's, and the one that the template ends a turn with."""
    special = {*tokenizer.all_special_ids, *_marks(tokenizer)}
    learned = encode(tokenizer, row)
    last = next((token for token in reversed(learned.whole[learned.start :]) if token in special), None)
    known = model.generation_config.eos_token_id
    found = {tokenizer.eos_token_id, last, *(known if isinstance(known, list) else [known])}
    return sorted(token for token in found if token is not None)


def _marks(tokenizer: Tokenizer) -> Iterator[int]:
    """The tokens added to the vocabulary that mean something: some are mere white space or words of a text."""
    template = str(tokenizer.chat_template or "")
    for number, token in tokenizer.added_tokens_decoder.items():
        if token.special or (token.content.strip() and token.content in template):
            yield number


# --- measuring -----------------------------------------------------------------------------------------------------


def measure(
    model: Model, tokenizer: Tokenizer, rows: Sequence[Row], *, batch_size: int, max_length: int, max_new_tokens: int
) -> tuple[dict[str, Any], list[str]]:
    """Loss a token of the right answer where that can be trained on, the scores of the model's own answers (most likely
    token each), and these.
    """  # noqa: D205
    import torch

    model.eval()
    total = tokens = 0.0
    learnable = usable(tokenizer, rows, max_length)[0]
    with torch.inference_mode():
        for _, one in learnable:
            whole = torch.tensor([one.whole], device=model.device)
            labels = whole.clone()
            labels[:, : one.start] = -100
            if count := int((labels[:, 1:] != -100).sum()):
                total += float(model(input_ids=whole, labels=labels).loss) * count
                tokens += count
        answers = [
            answer
            for batch in _batches(rows, batch_size)
            for answer in _answer(model, tokenizer, batch, max_new_tokens)
        ]
    loss = {"loss": round(total / tokens, 4) if tokens else None, "loss_rows": len(learnable)}
    return {**loss, **scores(rows, answers)}, answers


def _answer(model: Model, tokenizer: Tokenizer, rows: Sequence[Row], max_new_tokens: int) -> list[str]:
    import torch
    from transformers import GenerationConfig

    asked = [encode(tokenizer, row).asked for row in rows]
    width = max(map(len, asked))
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(one)) + one for one in asked])
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in asked])
    config = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, use_cache=True, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=stops(tokenizer, model, rows[0]),
    )  # fmt: skip
    made = model.generate(ids.to(model.device), attention_mask=mask.to(model.device), generation_config=config)
    return [tokenizer.decode(one[width:], skip_special_tokens=True).strip() for one in made]


def _batches(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


# --- scores ---------------------------------------------------------------------------------------------------------


class _AnyScript:
    """Tokens for ROUGE-L where not all is ASCII: one a character in scripts that do not separate words."""

    def tokenize(self, text: str) -> list[str]:
        import regex

        unspaced = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
        folded = unicodedata.normalize("NFKC", text).casefold()
        return regex.findall(rf"(?V1)(?=[{unspaced}])\X|[[\p{{L}}\p{{M}}\p{{N}}]--[{unspaced}]]+", folded)


def scorer(text: str) -> Any:
    """What scores an answer against this one: for ASCII as the papers do, by `rouge_score` with its stemmer."""
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], **({"use_stemmer": True} if text.isascii() else {"tokenizer": _AnyScript()}))


def rouge_l(answer: str, right: Sequence[str]) -> float:
    """The highest ROUGE-L F1 against the right answers, 0 to 1."""
    return max(scorer(answer + one).score(one, answer)["rougeL"].fmeasure for one in right)


def exact_match(answer: str, right: Sequence[str]) -> bool:
    """Is it one of the right answers but for case, punctuation and white space?"""
    return _plain(answer) in map(_plain, right)


def _plain(text: str) -> str:
    kept = (one for one in text.lower() if one not in string.punctuation and unicodedata.category(one)[0] != "P")
    return " ".join("".join(kept).split()) or text.strip()


def scores(rows: Sequence[Row], answers: Sequence[str]) -> dict[str, Any]:
    """ROUGE-L and exact match over all rows, and exact match over those of classifications, in percent."""
    matches = [exact_match(answer, row.answers) for row, answer in zip(rows, answers, strict=True)]
    labels = [match for row, match in zip(rows, matches, strict=True) if row.is_classification]
    return {
        "rows": len(rows),
        "rouge_l": _percent([rouge_l(answer, row.answers) for row, answer in zip(rows, answers, strict=True)]),
        "exact_match": _percent(matches),
        "classification_rows": len(labels),
        "classification_exact_match": _percent(labels),
    }


def _percent(values: Sequence[float]) -> float | None:
    return round(100 * sum(values) / len(values), 2) if values else None
