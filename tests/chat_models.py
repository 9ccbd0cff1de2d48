"""A tiny tokenizer with a chat template, made from code: bytes are tokens, and so are the marks of ChatML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer_in(
    folder: Path, template: str | None = CHATML, *, longest: int | None = None, added: Sequence[str] = ()
) -> Path:
    """A folder with such a tokenizer: one token for each byte, each mark and each word that is added."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    marks = [AddedToken(mark, special=True) for mark in ("<|im_start|>", "<|im_end|>")]
    inner.add_special_tokens(marks)
    inner.add_tokens([AddedToken(word, special=False, normalized=False) for word in added])
    limit = {} if longest is None else {"model_max_length": longest}
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|im_end|>", **limit)
    made.chat_template = template
    made.save_pretrained(folder)
    return folder
