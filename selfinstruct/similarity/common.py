"""What two texts have in common, shown in the texts themselves."""

from __future__ import annotations

from itertools import groupby

from rapidfuzz.distance import LCSseq

from selfinstruct.similarity.tokens import TOKENIZERS, pieces

OPENING, CLOSING = "‹", "›"


def mark_common(one: str, other: str, tokenizer: str = "unicode") -> tuple[str, str]:
    """Both texts, with the tokens of their longest common subsequence between ‹ and ›."""
    this, that = common_pieces(one, other, tokenizer)
    return _marked(this), _marked(that)


def _marked(text: list[tuple[str, bool]]) -> str:
    return "".join(f"{OPENING}{piece}{CLOSING}" if is_common else piece for piece, is_common in text)


def common_pieces(
    one: str, other: str, tokenizer: str = "unicode"
) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Both texts cut into (piece, is it part of their longest common subsequence of tokens)."""
    tokenize = TOKENIZERS[tokenizer]
    spans = [pieces(one), pieces(other)]
    tokens = [
        [tokenize(text[start:end]) for start, end in found] for text, found in zip((one, other), spans, strict=True)
    ]
    common: list[set[int]] = [set(), set()]
    for block in LCSseq.opcodes(tokens[0], tokens[1]):
        if block.tag == "equal":
            common[0].update(range(block.src_start, block.src_end))
            common[1].update(range(block.dest_start, block.dest_end))
    return _cut(one, spans[0], common[0]), _cut(other, spans[1], common[1])


def _cut(text: str, spans: list[tuple[int, int]], common: set[int]) -> list[tuple[str, bool]]:
    """The text in pieces; common tokens that follow each other are one piece, with what is between them."""
    found: list[tuple[str, bool]] = []
    place = 0
    for is_common, run in groupby(enumerate(spans), key=lambda numbered: numbered[0] in common):
        if is_common:
            ends = [span for _, span in run]
            found += [(text[place : ends[0][0]], False), (text[ends[0][0] : ends[-1][1]], True)]
            place = ends[-1][1]
    return [cut for cut in (*found, (text[place:], False)) if cut[0]]
