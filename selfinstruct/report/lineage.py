"""Which tasks led to which: how many generations lie between a task and the seeds, and what each demonstration bore."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from selfinstruct.store.figures import Shown

LISTED = 10
"""Demonstrations in each of the two lists."""


def generation(parents: Iterable[int], generations: Mapping[int, int]) -> int:
    """0 for a task that was shown nothing, as seeds are; else one more than the latest generation it was shown.

    Both are by position in the pool.
    """
    return 1 + max((generations[place] for place in parents), default=-1)


def demonstrations(shown: Iterable[Shown], positions: Mapping[str, int]) -> dict[str, Any]:
    """How often tasks were shown, and how many accepted tasks came of the requests that showed them.

    `fruitful` lists those with most accepted tasks for each time they were shown, of those shown as often as the
    median or more; `barren` those shown most often among those of which none came.
    """
    times: Counter[str] = Counter()
    bore: Counter[str] = Counter()
    for request in shown:
        for identity in json.loads(request.demonstrations):
            times[identity] += 1
            bore[identity] += request.accepted
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
