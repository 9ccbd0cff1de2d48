"""The figures of a pool, as JSON for the page. `docs/report.md` defines each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from selfinstruct.checks.instruction_language import languages_of
from selfinstruct.diversity.figures import diversity, mean, opening, top_share
from selfinstruct.diversity.reasons import MEANINGS
from selfinstruct.diversity.vendi import vendi_of_embeddings, vendi_sample
from selfinstruct.errors import ConfigError
from selfinstruct.exports.more_forms import Answers, pairs, rule_of
from selfinstruct.pool.reader import Reader
from selfinstruct.pool.records import RoundFigures
from selfinstruct.report.instruction_map import Embed
from selfinstruct.report.tables import TaskSummary, shortened
from selfinstruct.report.verdict import verdict
from selfinstruct.similarity.common import common_pieces
from selfinstruct.similarity.index import Index
from selfinstruct.similarity.tokens import tokenize

WINDOWS = 60
"""The most windows of rounds."""
PAIRS = 12
SEEDS = 2000
"""The most seeds whose figures are compared with those of the pool."""
LISTED = 10
"""The most demonstrations in each of two lists."""
TOLD = (
    "pool", "seeds", "tasks", "tasks_pending", "tasks_without_instances", "removed", "instances", "waiting", "rounds",
    "requests", "candidates", "rejections", "acceptance_rate", "prompt_tokens", "completion_tokens", "usd", "usage",
    "recipe", "models", "sources", "quotas", "judge", "agreement", "samples", "conversations", "passages", "corrected",
    "removed_rows",
)  # fmt: skip
"""What the page shows of the status; not the words about a run, which may name an endpoint."""


def figures(
    pool: Reader, name: str, tasks: TaskSummary, embed: Embed | None = None, people: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """All figures of a pool whose tasks were read, but those that the page counts in its rows.

    With `embed` there is also the Vendi score by embeddings; `people` says how far they agree with the judge.
    """
    seen = tasks.instructions
    scored = seen.pairs()
    instructions = [instruction for instruction, _ in scored]
    status, rounds = pool.status(name), pool.rounds()
    width = max(1, -(-status["rounds"] // WINDOWS))
    varied = diversity(scored).to_json()
    if embed is not None:
        varied["vendi_score_embeddings"] = vendi_of_embeddings(embed(vendi_sample(instructions)))
    found = {
        "name": name,
        "status": {key: status[key] for key in TOLD},
        "tasks": seen.tasks,
        "rows": tasks.rows,
        "short_outputs": tasks.short / tasks.rows if tasks.rows else None,
        "runs": status["runs"],
        "last_run": last["ended_at"] or last["started_at"] if (last := status["last_run"]) else None,
        "is_running": pool.is_running(),
        "growth": _growth(rounds, width),
        "reasons": _reasons(rounds, width),
        "windows": [asdict(one) for one in pool.windows()],
        "languages": _languages(instructions),
        "demonstrations": _demonstrations(pool.shown(), tasks.positions),
        "pairs": _pairs(pool),
        "preference": _preference(pool, status),
        "people": people,
        "unscored": seen.unscored,
        "is_sampled": seen.has_ended,
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


def _growth(rounds: Sequence[RoundFigures], width: int) -> dict[str, Any]:
    """Accepted, rejected and waiting instructions by window of `width` rounds."""
    counts: dict[str, list[int]] = {"accepted": [], "rejected": [], "waiting": []}
    for place in range(0, len(rounds), width):
        some = rounds[place : place + width]
        counts["accepted"].append(sum(one.accepted for one in some))
        counts["rejected"].append(sum(sum(one.rejected["instruction"].values()) for one in some))
        counts["waiting"].append(sum(one.waiting for one in some))
    return {"width": width, "rounds": len(rounds), **counts}


def _reasons(rounds: Sequence[RoundFigures], width: int) -> list[dict[str, Any]]:
    """Rejections by kind and reason, the most frequent first, each with its meaning and [window of rounds, count]."""
    found: dict[tuple[str, str], Counter[int]] = {}
    for one in rounds:
        for kind, reasons in one.rejected.items():
            for reason, count in reasons.items():
                found.setdefault((kind, reason), Counter())[one.number // width] += count
    return [
        {
            "kind": key[0], "reason": key[1], "meaning": MEANINGS.get(key[1].partition(":")[0], ""),
            "count": found[key].total(), "windows": sorted(found[key].items()),
        }
        for key in sorted(found, key=lambda key: (-found[key].total(), key))
    ]  # fmt: skip


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


def _preference(pool: Reader, status: Mapping[str, Any]) -> dict[str, Any] | None:
    """The preference pairs that an export would have, by what says so, and the first of each; None: there are none."""
    if not (status["samples"] or status["corrected"] or "revised" in status["rejections"]):
        return None
    rules, shown = Counter[str](), list[dict[str, Any]]()
    for row in pool.rows(sampled=True):
        for chosen, worse, one in pairs(row, Answers()):
            rule = rule_of(one)
            rules[rule] += 1
            if rules[rule] <= PAIRS // 4:
                texts = {"chosen": shortened(chosen, 400), "rejected": shortened(worse, 400)}
                shown.append({"rule": rule, "position": row.position, "margin": one.margin, **texts})
    return {"rules": rules.most_common(), "shown": shown} if rules else None


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
