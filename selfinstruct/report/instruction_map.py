"""A map of instructions: each a point, near to those of like meaning, in clusters named by their words."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfinstruct.similarity.tokens import tokenize

POINTS = 5000
"""The most points of all pools; a fifth of them each are seeds and rejections where there are so many."""
Embed = Callable[[Sequence[str]], list[list[float]]]
"""Returns the vector of each text."""
_WORDS = 3
"""Words in the name of a cluster."""
_STEPS = 25


class Place(NamedTuple):
    """An instruction to be placed."""

    kind: str
    """`task`, `seed` or `rejection`."""
    row: int
    """Its position in the pool; of a rejection its place in the table, the newest first."""
    text: str
    pool: int = 0


def chosen(places: Sequence[Place], most: int = POINTS) -> list[Place]:
    """At most so many of a pool: the newest rejections, and of seeds and tasks those whose SHA-256 is least."""
    of = {kind: [one for one in places if one.kind == kind] for kind in ("seed", "rejection", "task")}
    found = [*_least(of["seed"], most // 5), *of["rejection"][: most // 5]]
    return found + _least(of["task"], most - len(found))


def _least(places: Sequence[Place], most: int) -> list[Place]:
    if len(places) <= most:
        return list(places)
    return sorted(places, key=lambda one: hashlib.sha256(one.text.encode("utf-8", "surrogatepass")).digest())[:most]


def instruction_map(places: Sequence[Place], embed: Embed) -> dict[str, Any]:
    """The points as [x, y, kind, row, cluster, pool], x and y from 0 to 1, and the names of the clusters.

    x and y are the two directions in which the embeddings differ most (principal components). Points of the same text
    lie upon each other; the result depends on the texts and their order alone.
    """
    if len(places) < 3:
        return {"points": [], "clusters": []}
    vectors = np.asarray(embed([one.text for one in places]), dtype=np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    vectors -= vectors.mean(axis=0)
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    # The sign of a direction means nothing, so that its largest part is made positive.
    main = directions[:, ::-1][:, :16]
    main = main * np.sign(main[np.abs(main).argmax(axis=0), np.arange(main.shape[1])])
    placed = vectors @ main
    groups = _clusters(placed, max(1, min(12, len(places) // 25)))
    plane = placed[:, :2] - placed[:, :2].min(axis=0)
    plane /= np.maximum(plane.max(axis=0), 1e-12)
    points = [
        [round(float(x), 4), round(float(y), 4), one.kind, one.row, int(group), one.pool]
        for (x, y), one, group in zip(plane, places, groups, strict=True)
    ]
    return {"points": points, "clusters": _names([one.text for one in places], groups)}


def _clusters(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The cluster of each point, by k-means that begins with points far from each other; 0 is the largest."""
    centres = points[[int(np.linalg.norm(points, axis=1).argmin())]]
    far = np.linalg.norm(points - centres[0], axis=1)
    for _ in range(count - 1):
        centres = np.vstack([centres, points[int(far.argmax())]])
        far = np.minimum(far, np.linalg.norm(points - centres[-1], axis=1))
    groups = np.zeros(len(points), dtype=np.int64)
    for _ in range(_STEPS):
        distances = (centres**2).sum(axis=1) - 2 * points @ centres.T
        groups = distances.argmin(axis=1)
        centres = np.array([points[groups == one].mean(axis=0) if (groups == one).any() else centres[one]
                            for one in range(len(centres))])  # fmt: skip
    order = np.argsort(-np.bincount(groups, minlength=len(centres)), kind="stable")
    return np.argsort(order)[groups]


def _names(texts: Sequence[str], groups: NDArray[np.int64]) -> list[str]:
    """For each cluster the words that are frequent in it and rare elsewhere."""
    words = [{word for word in tokenize(text) if len(word) > 2} for text in texts]
    everywhere = Counter(word for one in words for word in one)
    names = []
    for group in range(int(groups.max()) + 1):
        own = Counter(word for one, at in zip(words, groups, strict=True) if at == group for word in one)
        here = sum(groups == group) / len(texts)
        ranked = sorted(own, key=lambda word: (-own[word] * math.log(own[word] / everywhere[word] / here), word))
        names.append(", ".join(ranked[:_WORDS]) or "other")
    return names


def local_embed() -> Embed | None:
    """Embeddings by the package of the extra `map`, which holds its vectors and asks nobody; None without it."""
    try:
        import wordllama  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    # Told where it is itself, the package looks nowhere else; so it finds its tokenizer too.
    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)

    def embed(texts: Sequence[str]) -> list[list[float]]:
        # It cannot take halves of surrogate pairs.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return model.embed(clean).tolist()  # type: ignore[no-any-return]

    return embed
