"""Finished tasks of other pools taken into one that grows by them, with all that led to them, and no model asked.

Each is compared as a candidate of a run is (law 4): by the settings of its own round, in order of the pools and of
their tasks, each with everything that is there. The rules let it pass before, and say the same of a text everywhere.
What was merged before stays as it was; only what is new comes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from selfinstruct.algorithm import Accepted
from selfinstruct.errors import ConfigError, PoolError, SelfInstructError
from selfinstruct.pool import statements
from selfinstruct.pool.contents import Contents, load_seeds
from selfinstruct.pool.exclusions import excluded_by, keep_exclusions
from selfinstruct.pool.journal import now
from selfinstruct.pool.merging import Coming, Site
from selfinstruct.pool.opening import Writer, open_for_reading, read_meta
from selfinstruct.pool.reader import Reader
from selfinstruct.pool.records import StoredGoal
from selfinstruct.pool.saved_index import save_index
from selfinstruct.pool.sites import keep_origins, origins
from selfinstruct.pool.statements import Statement
from selfinstruct.runner.replay import kept, tell_of_edits
from selfinstruct.runner.rounds import Generated, Round, Rounds
from selfinstruct.runner.watch import Tell, Watch

_NO_GOAL = StoredGoal()


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of a merge."""

    taken: int
    """Tasks that are here now."""
    rejected: Mapping[str, int]
    """How often each reason rejected one."""


def merge(folders: Sequence[Path], folder: Path, tell: Tell) -> Merged:
    """Take what is new in these pools into the one in `folder`, which is made if there is none.

    Raises:
        ConfigError, PoolError: these pools cannot be one, or a file of another pool stands there.
    """
    places = [one.resolve() for one in (folder, *folders)]
    if twice := [one for place, one in enumerate(folders, 1) if places[place] in places[:place]]:
        raise ConfigError(f"{twice[0]} is named twice; name each pool once, and another one as the pool to merge into")
    pool = Writer.open(folder)
    try:
        return merge_into(pool, folders, tell)
    except SelfInstructError:
        pool.forget()
        raise
    finally:
        pool.close()


def merge_into(
    pool: Writer, folders: Sequence[Path], tell: Tell, goal: StoredGoal = _NO_GOAL, job: str | None = None
) -> Merged:
    """The same for a pool that is open, as a step to a goal.

    It is stored round by round: after a kill the next call goes on where this one stopped.
    """
    with contextlib.ExitStack() as stack:
        sites = _open(folders, pool, tell, stack)
        contents = pool.load()
        watch = Watch(contents.seeds, pool.past(contents.next_round - 1))
        last, generated = contents.last_settings, Generated(contents.generated)
        tokenizer = last.filters.tokenizer if last else "unicode"
        rounds = Rounds(contents.seeds, generated, watch, tokenizer, excluded_by(pool), pool.folder)
        before = len(generated)
        pool.write_in_turn(_take_in(sites, rounds, contents, pool, goal, job))
        save_index(pool.folder, rounds.screening.index)
    merged = Merged(len(generated) - before, rounds.rejected)
    lost = "".join(f", {reason} {count:,}" for reason, count in rounds.rejected.most_common())
    tell(f"merged: {merged.taken:,} new, {rounds.rejected.total():,} rejected{lost}")
    return merged


def _open(folders: Sequence[Path], pool: Writer, tell: Tell, stack: contextlib.ExitStack) -> list[Site]:
    """The pools, which stay as they are now until the stack is left; the one that they are merged into is there."""
    sites: list[Site] = []
    here = None
    for folder in folders:
        connection = stack.enter_context(contextlib.closing(open_for_reading(folder)))
        connection.execute("BEGIN")
        meta = read_meta(connection)
        if pool.is_new:
            pool.create(load_seeds(connection), int(meta["seed"]), offline=json.loads(meta["offline"]))
        here = here or stack.enter_context(pool.connect())
        known = sites[-1].known if sites else origins(pool.meta)
        for key, what in (("seeds", "was grown from other seeds"), ("offline", "has tasks of another kind of model")):
            if meta[key] != pool.meta[key]:
                raise PoolError(f"{folder} {what} than {pool.folder} or the first of the pools; merge it elsewhere")
        sites.append(Site(folder, connection, here, known))
        for other, there in zip(folders, sites[:-1], strict=False):
            if sites[-1].shares(there):
                raise PoolError(
                    f"{folder} asked the same questions as {other}, or one was merged into the other; "
                    "grow each with a --seed of its own, or merge one after the other"
                )
        tell_of_edits(folder, Reader(connection), tell)
        keep_exclusions(pool, sites[-1].exclusions())
    return sites


def _take_in(
    sites: Sequence[Site], rounds: Rounds, contents: Contents, pool: Writer, goal: StoredGoal, job: str | None
) -> Iterator[Sequence[Statement]]:
    """What stores the new tasks, round after round."""
    if contents.rounds:
        raise PoolError(
            f"{pool.folder} has rounds that `generate` left open, and no task can come between; merge it alone into a "
            "new pool, then the others into that one"
        )
    run, number = pool.start_run(now(), goal, job), contents.next_round
    yield [keep_origins(sites[-1].known)]
    for site in sites:
        yield site.passages()
        for coming in site.coming():
            yield [*_take(site, coming, rounds, number, run)]
            number += 1
    yield [statements.end_run(run, now(), 0, statements.MERGED)]


def _take(site: Site, coming: Coming, rounds: Rounds, number: int, run: int) -> Iterator[Statement]:
    """Decide on the finished tasks of a round, and store those that are accepted with their rows."""
    requests = [replace(one, source=coming.source, round=number) for one in coming.requests]
    round_ = Round(number, coming.settings, requests, waiting=[one for one, _ in coming.tasks], is_read=True)
    yield from statements.plan_round(number, coming.settings, requests, run, coming.source)
    for completion in coming.completions:
        yield from statements.journal(replace(completion, source=coming.source), run, now())
    yield from statements.read_round(number, round_.waiting, [], requests)
    yield from (statements.stands_for_one(one) for one in requests if one.id in coming.unanswered)
    decisions = [site.as_asked(one) for one in rounds.screen(round_, coming.shown, is_past_rules=True)]
    decided, _ = rounds.record(round_, decisions)
    yield from decided
    yield from rounds.settle(round_)
    for decision, (candidate, there) in zip(decisions, coming.tasks, strict=True):
        if isinstance(decision, Accepted):
            task = replace(decision.task, is_classification=there.is_classification)
            followed = [kept(one, coming.source, number, task) for one in site.follow_ups(candidate)]
            for request, completion in followed:
                yield statements.add_request(request)
                yield from statements.journal(completion, run, now())
            yield from statements.finish_task(site.finished(candidate, task), number, [one for one, _ in followed])
