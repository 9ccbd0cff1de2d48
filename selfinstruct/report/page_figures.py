"""The figures of a pool, as JSON for the page. `docs/report.md` defines each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import pandas as pd

from selfinstruct.checks.instruction_language import languages_of
from selfinstruct.diversity.figures import diversity, evenly, mean, opening, top_share
from selfinstruct.diversity.vendi import vendi_of_embeddings, vendi_sample
from selfinstruct.errors import ConfigError
from selfinstruct.pool.reader import Reader
from selfinstruct.pool.records import RoundFigures
from selfinstruct.report.tables import TaskFigures, TaskSummary, shortened
from selfinstruct.report.verdict import verdict
from selfinstruct.similarity.common import common_pieces
from selfinstruct.similarity.index import Index
from selfinstruct.similarity.tokens import tokenize

BINS = 50
"""The parts of a histogram of scores from 0 to 1."""
WINDOWS = 60
"""The most windows of rounds."""
VERBS, NOUNS = 24, 8
"""The most verbs, and nouns for each of them."""
PAIRS = 12
SEEDS = 2000
"""The most seeds whose figures are compared with those of the pool."""
LISTED = 10
"""The most demonstrations in each of two lists."""
TOLD = (
    "pool", "seeds", "tasks", "tasks_pending", "tasks_without_instances", "removed", "instances", "waiting", "rounds",
    "requests", "candidates", "rejections", "acceptance_rate", "prompt_tokens", "completion_tokens", "usd", "usage",
    "recipe", "models", "sources", "quotas",
)  # fmt: skip
"""What the page shows of the status; not the words about a run, which may name an endpoint."""
Embed = Callable[[Sequence[str]], list[list[float]]]
"""Returns the vector of each text."""


def figures(pool: Reader, name: str, tasks: TaskSummary, embed: Embed | None = None) -> dict[str, Any]:
    """All figures of a pool whose tasks were read; with `embed` also the Vendi score by embeddings."""
    frame = pd.DataFrame(tasks.figures, columns=TaskFigures._fields)
    scored = evenly(tasks.scored)
    instructions = [instruction for instruction, _ in scored]
    nearest = pd.Series([score for _, score in scored], dtype=float)
    status, rounds = pool.status(name), pool.rounds()
    width = max(1, -(-status["rounds"] // WINDOWS))
    varied = diversity(scored).to_json()
    if embed is not None:
        varied["vendi_score_embeddings"] = vendi_of_embeddings(embed(vendi_sample(instructions)))
    found = {
        "name": name,
        "status": {key: status[key] for key in TOLD},
        "runs": status["runs"],
        "is_running": pool.is_running(),
        "seed_sample": int(frame["nearest_seed"].notna().sum()),
        "scores": {"pool": _histogram(nearest), "seeds": _histogram(frame["nearest_seed"])},
        "medians": {"pool": _median(nearest), "seeds": _median(frame["nearest_seed"])},
        "words": {
            "instructions": _counted(Counter(frame["words"].tolist())),
            "inputs": _counted(tasks.input_words),
            "outputs": _counted(tasks.output_words),
        },
        "verbs": _verbs(tasks.readings),
        "growth": _growth(rounds, width),
        "reasons": _reasons(rounds, width),
        "windows": [asdict(one) for one in pool.windows()],
        "mix": _mix(frame),
        "languages": _languages(instructions),
        "generations": _counted(Counter(frame["generation"].tolist())),
        "demonstrations": _demonstrations(pool.shown(), tasks.positions),
        "pairs": _pairs(pool),
        "unscored": int(frame["nearest"].isna().sum()),
        "diversity": varied,
    }
    return {**found, "verdict": verdict(found, _of_seeds(pool))}


def _of_seeds(pool: Reader) -> dict[str, float | None]:
    """The figures of the seeds that those of the pool are compared to; of the first of very many."""
    index, scores, openings = Index(), list[float](), list[tuple[str, ...]]()
    for seed in islice(pool.tasks("t.origin = 'seed'"), SEEDS):
        near = index.nearest(seed.instruction)
        scores += [near.score] if near else []
        openings.append(opening(tokenize(seed.instruction)))
        index.add(seed.id, seed.instruction)
    return {"nearest": mean(scores), "openings": top_share(openings)}


def _histogram(scores: pd.Series[float]) -> list[int]:
    """The number of known scores in each of `BINS` equal parts from 0 to 1; a score on an edge counts above it."""
    # A score exactly on an edge, such as 0.58, may be a little below it as a float.
    places = (scores.dropna() * BINS + 1e-9).astype(int).clip(upper=BINS - 1)
    return [int(count) for count in places.value_counts().reindex(range(BINS), fill_value=0)]


def _median(values: pd.Series[float]) -> float | None:
    known = values.dropna()
    return round(float(known.median()), 4) if len(known) else None


def _counted(counts: Counter[int]) -> list[list[int]]:
    """Counts as [value, count], by value."""
    return [list(one) for one in sorted(counts.items())]


def _verbs(readings: Counter[tuple[str, str]]) -> dict[str, Any]:
    """The most frequent verbs, each with its most frequent nouns: [verb, count, [[noun, count], ...]], and totals.

    An instruction without a verb counts in the total alone; one without a noun counts for its verb.
    """
    of_verb: dict[str, Counter[str]] = {}
    for (verb, noun), count in readings.items():
        if verb:
            of_verb.setdefault(verb, Counter())[noun] += count
    listed = []
    for verb in sorted(of_verb, key=lambda verb: (-of_verb[verb].total(), verb))[:VERBS]:
        nouns = sorted(((noun, n) for noun, n in of_verb[verb].items() if noun), key=lambda one: (-one[1], one[0]))
        listed.append([verb, of_verb[verb].total(), [list(one) for one in nouns[:NOUNS]]])
    return {"listed": listed, "verbs": len(of_verb), "pairs": len(readings), "total": readings.total()}


def _growth(rounds: Sequence[RoundFigures], width: int) -> dict[str, Any]:
    """Accepted, rejected and waiting instructions by window of `width` rounds."""
    counts = [(one.number, one.accepted, sum(one.rejected["instruction"].values()), one.waiting) for one in rounds]
    frame = pd.DataFrame(counts, columns=["number", "accepted", "rejected", "waiting"])
    sums = frame.groupby(frame["number"] // width)[["accepted", "rejected", "waiting"]].sum()
    shares = {name: sums[name].astype(int).tolist() for name in ("accepted", "rejected", "waiting")}
    return {"width": width, "rounds": len(frame), **shares}


def _reasons(rounds: Sequence[RoundFigures], width: int) -> list[dict[str, Any]]:
    """Rejections by kind and reason, the most frequent first, each with its [window of rounds, count]."""
    found: dict[tuple[str, str], Counter[int]] = {}
    for one in rounds:
        for kind, reasons in one.rejected.items():
            for reason, count in reasons.items():
                found.setdefault((kind, reason), Counter())[one.number // width] += count
    return [
        {"kind": key[0], "reason": key[1], "count": found[key].total(), "windows": _counted(found[key])}
        for key in sorted(found, key=lambda key: (-found[key].total(), key))
    ]


def _mix(frame: pd.DataFrame) -> dict[str, Any]:
    """The kinds of the finished tasks."""
    done = frame[frame["finished"].astype(bool)]
    some = (done["with_input"] > 0) & (done["with_input"] < done["instances"])
    return {
        "tasks": len(done),
        "classification": int((done["is_classification"] == 1).sum()),
        "with_input": int(((done["with_input"] > 0) & ~some).sum()),
        "some_with_input": int(some.sum()),
        "instances": _counted(Counter(done["instances"].tolist())),
    }


def _languages(instructions: Sequence[str]) -> dict[str, Any]:
    """The languages of an even sample of the instructions; the counts are None without a detector."""
    try:
        found = languages_of(instructions)
    except ConfigError:
        return {"sample": 0, "counts": None}
    return {"sample": found.sample, "counts": found.counts, "unsure": found.unsure}


def _demonstrations(shown: Iterable[tuple[list[str], int]], positions: Mapping[str, int]) -> dict[str, Any]:
    """How often tasks were shown, and how many accepted tasks came of the requests that showed them.

    `fruitful` lists the tasks with most accepted tasks for each time they were shown, among those shown at least as
    often as the median. `barren` lists the tasks shown most often among those from which no accepted task came.
    """
    times: Counter[str] = Counter()
    bore: Counter[str] = Counter()
    for demonstrations, accepted in shown:
        for identity in demonstrations:
            times[identity] += 1
            bore[identity] += accepted
    rows = [
        {"position": positions[one], "shown": count, "bore": bore[one]}
        for one, count in times.items()
        if one in positions
    ]
    often = sorted(row["shown"] for row in rows)
    least = often[len(often) // 2] if often else 0
    fruitful = sorted(
        (row for row in rows if row["bore"] and row["shown"] >= least),
        key=lambda row: (-row["bore"] / row["shown"], -row["shown"], row["position"]),
    )
    barren = sorted((row for row in rows if not row["bore"]), key=lambda row: (-row["shown"], row["position"]))
    return {
        "shown": len(rows),
        "barren_count": len(barren),
        "median_shown": least,
        "fruitful": fruitful[:LISTED],
        "barren": barren[:LISTED],
    }


def _pairs(pool: Reader) -> list[dict[str, Any]]:
    """The closest accepted pairs, each text cut into [piece, is it in common]."""
    settings = pool.settings()
    found = []
    for one, other in pool.closest_pairs(PAIRS):
        texts = (shortened(one.instruction, 1000), shortened(other.instruction, 1000))
        this, that = common_pieces(*texts, settings.filters.tokenizer if settings else "unicode")
        pair = {"score": round(one.nearest_score or 0.0, 4), "positions": [one.position, other.position]}
        found.append({**pair, "is_seed": other.origin == "seed", "this": this, "that": that})
    return found
