"""What two texts have in common, shown in the texts themselves."""

from __future__ import annotations

from rapidfuzz.distance import LCSseq

from selfinstruct.novelty.tokens import TOKENIZERS, pieces

OPENING, CLOSING = "‹", "›"


def mark_common(one: str, other: str, tokenizer: str = "unicode") -> tuple[str, str]:
    """Both texts, with the tokens of their longest common subsequence between ‹ and ›."""
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
    return _marked(one, spans[0], common[0]), _marked(other, spans[1], common[1])


def _marked(text: str, spans: list[tuple[int, int]], common: set[int]) -> str:
    """The text with neighbouring common pieces in one pair of marks."""
    written, place, inside = "", 0, False
    for number, (start, end) in enumerate(spans):
        gap = text[place:start]
        if number in common:
            written += gap + text[start:end] if inside else gap + OPENING + text[start:end]
        else:
            written += CLOSING + gap + text[start:end] if inside else gap + text[start:end]
        inside, place = number in common, end
    return written + (CLOSING if inside else "") + text[place:]
