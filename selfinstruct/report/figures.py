"""A pool's figures, as JSON: what is counted here is what the page draws. `docs/report.md` defines each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from selfinstruct.diversity.figures import diversity, vendi_of_embeddings, vendi_sample
from selfinstruct.diversity.scored import evenly
from selfinstruct.errors import ConfigError
from selfinstruct.filters.language import languages_of
from selfinstruct.novelty.common import common_pieces
from selfinstruct.report.lineage import demonstrations
from selfinstruct.report.tasks import Figures, Tasks, shortened
from selfinstruct.store import figures as store
from selfinstruct.store.reading import Connection, status_of

BINS = 50
"""Of a histogram of scores from 0 to 1."""
WINDOWS = 60
"""Windows that the rounds are put into, at most."""
VERBS = 24
NOUNS = 8
"""Nouns shown with each verb."""
PAIRS = 12
TOLD = (
    "pool", "seeds", "tasks", "tasks_pending", "tasks_without_instances", "removed", "instances", "waiting", "rounds",
    "requests", "candidates", "rejections", "acceptance_rate", "prompt_tokens", "completion_tokens", "usd", "usage",
    "recipe", "models",
)  # fmt: skip
"""What the page draws of the status. Words about a run stay out: they may name an endpoint."""


Embed = Callable[[Sequence[str]], list[list[float]]]
"""The vector of each text."""


def figures(connection: Connection, name: str, tasks: Tasks, embed: Embed | None = None) -> dict[str, Any]:
    """All figures of a pool, whose tasks have been read; with `embed` the Vendi score by embeddings too."""
    frame = pd.DataFrame(tasks.figures, columns=Figures._fields)
    judged = evenly(tasks.judged)
    nearest = pd.Series([score for _, score in judged], dtype=float)
    status = status_of(connection, name)
    runs, is_running = store.run_count(connection)
    windows = window_width(status["rounds"])
    return {
        "name": name,
        "status": {key: status[key] for key in TOLD},
        "runs": runs,
        "is_running": is_running,
        "seed_sample": int(frame["nearest_seed"].notna().sum()),
        "scores": {
            "pool": histogram(nearest.dropna()),
            "seeds": histogram(frame["nearest_seed"].dropna()),
        },
        "medians": {"pool": median(nearest), "seeds": median(frame["nearest_seed"])},
        "words": {
            "instructions": counted(Counter(frame["words"].tolist())),
            "inputs": counted(tasks.input_words),
            "outputs": counted(tasks.output_words),
        },
        "verbs": verbs(tasks.readings),
        "growth": growth(store.rounds(connection), windows),
        "reasons": reasons(store.reasons_by_round(connection), windows),
        "windows": store.windows(connection),
        "mix": mix(frame),
        "languages": languages([instruction for instruction, _ in judged]),
        "generations": counted(Counter(frame["generation"].tolist())),
        "demonstrations": demonstrations(store.shown(connection), tasks.positions),
        "pairs": pairs(connection),
        "unscored": int(frame["nearest"].isna().sum()),
        "diversity": diversity(judged).to_json() | _by_embeddings([one for one, _ in judged], embed),
    }


def _by_embeddings(instructions: Sequence[str], embed: Embed | None) -> dict[str, Any]:
    """The Vendi score by embeddings, of the same sample as that by n-grams."""
    if embed is None:
        return {}
    return {"vendi_score_embeddings": vendi_of_embeddings(embed(vendi_sample(instructions)))}


def histogram(scores: pd.Series[float], bins: int = BINS) -> list[int]:
    """How many scores lie in each of `bins` equal parts from 0 to 1; a score on an edge counts above it, 1 below."""
    # What is exactly on an edge, such as 0.58, may be a little below it as a float.
    places = (scores * bins + 1e-9).astype(int).clip(upper=bins - 1)
    found = places.value_counts()
    return [int(found.get(place, 0)) for place in range(bins)]


def median(values: pd.Series[float]) -> float | None:
    """The median of what is known, to four digits."""
    known = values.dropna()
    return round(float(known.median()), 4) if len(known) else None


def counted(counts: Counter[int]) -> list[list[int]]:
    """Counts as [value, count], by value."""
    return [[value, counts[value]] for value in sorted(counts)]


def verbs(readings: Counter[tuple[str, str]]) -> dict[str, Any]:
    """The most frequent verbs, each with its most frequent nouns: [verb, count, [[noun, count], ...]], and totals.

    An instruction in which nothing can be read counts in the total alone; one without a noun counts for its verb.
    """
    of_verb: dict[str, Counter[str]] = {}
    for (verb, noun), count in readings.items():
        if verb:
            of_verb.setdefault(verb, Counter())[noun] += count
    order = sorted(of_verb, key=lambda verb: (-of_verb[verb].total(), verb))
    listed = []
    for verb in order[:VERBS]:
        nouns = sorted(((noun, n) for noun, n in of_verb[verb].items() if noun), key=lambda one: (-one[1], one[0]))
        listed.append([verb, of_verb[verb].total(), [list(one) for one in nouns[:NOUNS]]])
    return {"listed": listed, "verbs": len(of_verb), "pairs": len(readings), "total": readings.total()}


def window_width(rounds: int) -> int:
    """How many rounds are put together, so that there are `WINDOWS` at most."""
    return max(1, -(-rounds // WINDOWS))


def growth(rounds: Iterable[store.RoundCounts], width: int) -> dict[str, Any]:
    """Accepted, rejected and waiting instructions by window of rounds."""
    frame = pd.DataFrame(rounds, columns=store.RoundCounts._fields)
    sums = frame.groupby(frame["number"] // width)[["accepted", "rejected", "waiting"]].sum()
    shares = {name: sums[name].astype(int).tolist() for name in ("accepted", "rejected", "waiting")}
    return {"width": width, "rounds": len(frame), **shares}


def reasons(counts: Iterable[store.ReasonCount], width: int) -> list[dict[str, Any]]:
    """Rejections by kind and reason, the most frequent first, each with its [window of rounds, count]."""
    found: dict[tuple[str, str], Counter[int]] = {}
    for one in counts:
        found.setdefault((one.kind, one.reason), Counter())[one.round // width] += one.n
    order = sorted(found, key=lambda key: (-found[key].total(), key))
    return [
        {"kind": kind, "reason": reason, "count": found[kind, reason].total(), "windows": counted(found[kind, reason])}
        for kind, reason in order
    ]


def mix(frame: pd.DataFrame) -> dict[str, Any]:
    """What kinds of tasks there are, of those that are finished."""
    done = frame[frame["finished"].astype(bool)]
    some = (done["with_input"] > 0) & (done["with_input"] < done["instances"])
    return {
        "tasks": len(done),
        "classification": int((done["is_classification"] == 1).sum()),
        "with_input": int(((done["with_input"] > 0) & ~some).sum()),
        "some_with_input": int(some.sum()),
        "instances": counted(Counter(done["instances"].tolist())),
    }


def languages(instructions: Sequence[str]) -> dict[str, Any]:
    """The languages of a sample spread evenly over the instructions; None where no detector is installed."""
    try:
        found = languages_of(instructions)
    except ConfigError:
        return {"sample": 0, "counts": None}
    return {"sample": found.sample, "counts": found.counts, "unsure": found.unsure}


def pairs(connection: Connection) -> list[dict[str, Any]]:
    """The closest accepted pairs, each text cut into [piece, is it in common]."""
    tokenizer = store.tokenizer(connection)
    found = []
    for row in store.closest_pairs(connection, PAIRS):
        texts = (shortened(row["instruction"], 1000), shortened(row["other_instruction"], 1000))
        this, that = common_pieces(*texts, tokenizer)
        found.append(
            {
                "score": round(row["score"], 4),
                "positions": [row["position"], row["other_position"]],
                "is_seed": row["other_origin"] == "seed",
                "this": this,
                "that": that,
            }
        )
    return found
