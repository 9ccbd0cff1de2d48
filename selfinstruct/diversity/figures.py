"""How varied a list of instructions is, in figures; `docs/diversity.md` defines each with its source."""

from __future__ import annotations

import bz2
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

from selfinstruct.diversity.openings import opening, top_share
from selfinstruct.diversity.verbs import read
from selfinstruct.similarity.tokens import tokenize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VENDI_SAMPLE = 2000
"""Instructions of which the Vendi score is reckoned; its cost grows with the cube of their number."""
_DIGITS = 4
_FREQUENT = 8
"""N-grams in more instructions than this are multiplied together, the rest one by one."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """The figures of one list of instructions, rounded to four digits; None where there is nothing to reckon with."""

    instructions: int
    distinct_1: float | None
    distinct_2: float | None
    compression_ratio: float | None
    top_openings_share: float | None
    verb_noun_pairs: int
    verb_noun_entropy: float | None
    """In bits."""
    mean_nearest_rouge_l: float | None
    vendi_score: float | None
    vendi_sample: int

    def to_json(self) -> dict[str, Any]:
        """The figures by name, as `status --json` and manifests hold them."""
        return asdict(self)


def diversity(rows: Iterable[tuple[str, float | None]], most_compared: int = VENDI_SAMPLE) -> Diversity:
    """The figures of some instructions, each with its score to the nearest earlier one (None: it does not count).

    A function of the instructions in their order; the Vendi score does not depend on the order either.
    """
    pairs = list(rows)
    instructions = [instruction for instruction, _ in pairs]
    scores = [score for _, score in pairs if score is not None]
    tokens = [tokenize(instruction) for instruction in instructions]
    readings = Counter(map(read, instructions))
    sample = vendi_sample(instructions, most_compared)
    return Diversity(
        instructions=len(instructions),
        distinct_1=_rounded(distinct(tokens, 1)),
        distinct_2=_rounded(distinct(tokens, 2)),
        compression_ratio=_rounded(compression_ratio(instructions)),
        top_openings_share=_rounded(top_share([opening(one) for one in tokens])),
        verb_noun_pairs=len(readings),
        verb_noun_entropy=_rounded(entropy(readings)),
        mean_nearest_rouge_l=_rounded(math.fsum(scores) / len(scores) if scores else None),
        vendi_score=_rounded(vendi_score([tokenize(one) for one in sample])),
        vendi_sample=len(sample),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def distinct(tokens: Sequence[Sequence[str]], n: int) -> float | None:
    """Different n-grams divided by all n-grams, those of one instruction apart from those of the next."""
    if n == 1:
        grams: Iterable[Any] = (token for one in tokens for token in one)
    else:
        grams = (pair for one in tokens for pair in pairwise(one))
    counts = Counter(grams)
    return len(counts) / counts.total() if counts else None


def compression_ratio(instructions: Sequence[str]) -> float | None:
    """Bytes of the instructions, one a line, divided by their bytes when compressed.

    By bzip2, which has one implementation: those of gzip differ in size from one system to the next.
    """
    raw = "\n".join(instructions).encode("utf-8", "surrogatepass")
    return len(raw) / len(bz2.compress(raw, 9)) if raw else None


def entropy(counts: Counter[Any]) -> float | None:
    """The entropy of a distribution in bits."""
    total = counts.total()
    return math.fsum(-n / total * math.log2(n / total) for n in sorted(counts.values())) + 0.0 if total else None


def vendi_sample(instructions: Sequence[str], size: int = VENDI_SAMPLE) -> list[str]:
    """At most `size` of the instructions: those whose SHA-256 is least, so the same whatever their order."""
    if len(instructions) <= size:
        return sorted(instructions)
    return sorted(instructions, key=_digest)[:size]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def vendi_score(tokens: Sequence[Sequence[str]]) -> float | None:
    """How many entirely different instructions would be as varied as these: 1 if all are the same, n if none overlap.

    The exponential of the entropy of the eigenvalues of K/n. K is the mean over n-grams of one and two words of the
    cosine between their counts (Friedman and Dieng 2023, who use the same kernel for text).
    """
    return _vendi((_cosines(tokens, 1) + _cosines(tokens, 2)) / 2) if tokens else None


def vendi_of_embeddings(vectors: Sequence[Sequence[float]]) -> float | None:
    """The same by the cosine between embeddings (count, dimensions), to four digits."""
    if not vectors:
        return None
    import numpy as np  # noqa: PLC0415

    rows = np.asarray(vectors, dtype=np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return _rounded(_vendi(rows @ rows.T))


def _vendi(kernel: NDArray[np.float64]) -> float:
    import numpy as np  # noqa: PLC0415 - plain status stays light

    eigenvalues = np.linalg.eigvalsh(kernel / len(kernel))
    positive = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-np.sum(positive * np.log(positive))))


def _cosines(tokens: Sequence[Sequence[str]], n: int) -> NDArray[np.float64]:
    """The cosine of each pair of instructions between the counts of their n-grams; without any, only like itself."""
    import numpy as np  # noqa: PLC0415

    holders: dict[Any, list[tuple[int, float]]] = {}
    for place, one in enumerate(tokens):
        counts = Counter(one if n == 1 else pairwise(one))
        length = math.sqrt(sum(count * count for count in counts.values()))
        for gram, count in counts.items():
            holders.setdefault(gram, []).append((place, count / length))
    frequent = [found for found in holders.values() if len(found) > _FREQUENT]
    columns = np.zeros((len(tokens), len(frequent)))
    for column, found in enumerate(frequent):
        for place, weight in found:
            columns[place, column] = weight
    kernel = columns @ columns.T
    for found in holders.values():
        if len(found) <= _FREQUENT:
            for (place, weight), (other, other_weight) in combinations(found, 2):
                kernel[place, other] += weight * other_weight
                kernel[other, place] += weight * other_weight
    np.fill_diagonal(kernel, 1.0)
    return kernel
