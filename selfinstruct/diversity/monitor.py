"""The diversity monitor: what a window of rounds looks like, and when that is a warning.

A window is a number of rounds that follow each other. Its figures are those of the instructions screened in them,
and of nothing else: not of instances, nor of time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from selfinstruct.diversity.diagnosis import REPEATS, VARY, is_repeating, mostly
from selfinstruct.diversity.figures import diversity, mean, opening, rounded, top_share
from selfinstruct.diversity.verbs import Reading, read
from selfinstruct.settings import MonitorSettings
from selfinstruct.similarity.tokens import tokenize

MAX_LEVEL = 4
"""How strongly `diversify` acts at most; one step up for each window with a warning, one down for each without."""
UNREAD = frozenset({"unreadable", "cut_off"})
"""Reasons of rejections whose text is no instruction."""
VENDI_SAMPLE = 200
"""Instructions of a window of which the Vendi score is taken, in some hundredths of a second."""
FEWEST = 20
"""Candidates that a window needs for a warning; fewer say nothing."""


@dataclass(slots=True)
class Tally:
    """What was screened in some rounds, counted."""

    scores: list[float] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    """Of what was rejected."""
    openings: list[tuple[str, ...]] = field(default_factory=list)
    """Of all that was screened."""
    pairs: Counter[Reading] = field(default_factory=Counter)
    """Verbs and nouns of what was accepted."""
    instructions: list[str] = field(default_factory=list)
    """What was accepted, in order."""
    words: list[frozenset[str]] = field(default_factory=list)
    """Those of each accepted instruction."""

    def accept(self, instruction: str, score: float | None) -> None:
        """Count an accepted instruction with its score to the nearest earlier one."""
        tokens = tokenize(instruction)
        self.instructions.append(instruction)
        self.openings.append(opening(tokens))
        self.pairs[read(instruction)] += 1
        self.words.append(frozenset(tokens))
        if score is not None:
            self.scores.append(score)

    def reject(self, text: str, reason: str) -> None:
        """Count a rejected instruction, or what could not be read as one."""
        self.reasons[reason] += 1
        if reason not in UNREAD:
            self.openings.append(opening(tokenize(text)))


@dataclass(frozen=True, slots=True)
class Window:
    """The figures of a window of rounds; None where there is nothing to compute it of."""

    first_round: int
    last_round: int
    screened: int
    accepted: int
    acceptance: float | None
    nearest: float | None
    openings: float | None
    new_pairs: int
    """Pairs of verb and noun that no earlier window and no seed had."""
    warnings: tuple[str, ...] = ()
    """Names of the figures beyond their bounds."""
    level: int = 0
    """How strongly `diversify` acts after this window, 0 to 4."""
    distinct_1: float | None = None
    """This and the next ones are those of `Diversity`, of the instructions accepted in the window."""
    distinct_2: float | None = None
    compression_ratio: float | None = None
    verb_noun_entropy: float | None = None
    vendi_score: float | None = None

    @property
    def new_pairs_share(self) -> float | None:
        """Different new pairs divided by the accepted instructions."""
        return self.new_pairs / self.accepted if self.accepted else None


def close(
    tally: Tally, known: Mapping[Reading, int], rounds: tuple[int, int], before: int, bounds: MonitorSettings
) -> Window:
    """The window of these rounds (first, last). `known` are the pairs before it, `before` is the level of the last."""
    varied = diversity(((instruction, None) for instruction in tally.instructions), VENDI_SAMPLE)
    accepted = len(tally.instructions)
    screened = accepted + tally.reasons.total()
    figures = Window(
        first_round=rounds[0],
        last_round=rounds[1],
        screened=screened,
        accepted=accepted,
        acceptance=rounded(accepted / screened if screened else None),
        nearest=rounded(mean(tally.scores)),
        openings=rounded(top_share(tally.openings)),
        new_pairs=sum(pair not in known for pair in tally.pairs),
        distinct_1=varied.distinct_1,
        distinct_2=varied.distinct_2,
        compression_ratio=varied.compression_ratio,
        verb_noun_entropy=varied.verb_noun_entropy,
        vendi_score=varied.vendi_score,
    )
    warnings = warnings_of(figures, bounds)
    level = min(before + 1, MAX_LEVEL) if warnings else max(before - 1, 0)
    return replace(figures, warnings=warnings, level=level)


def warnings_of(window: Window, bounds: MonitorSettings) -> tuple[str, ...]:
    """The names of the figures that are beyond their bounds."""
    if window.screened < FEWEST:
        return ()
    new = window.new_pairs_share
    beyond = {
        "acceptance": window.acceptance is not None and window.acceptance < bounds.min_acceptance,
        "nearest": window.nearest is not None and window.nearest > bounds.max_nearest,
        "openings": window.openings is not None and window.openings > bounds.max_openings,
        "new_pairs": new is not None and new < bounds.min_new_pairs,
    }
    return tuple(name for name, is_beyond in beyond.items() if is_beyond)


def warning_text(
    window: Window, bounds: MonitorSettings, reasons: Mapping[str, int] | None = None, *, acts: bool
) -> str:
    """What a run says about a window with warnings, and what to try. `reasons` are those of its rejections.

    Where little is accepted and nothing else is amiss, these reasons say why: the model need not repeat itself.
    """
    said = {
        "acceptance": f"{window.acceptance or 0:.0%} of candidates were accepted (bound {bounds.min_acceptance:.0%})",
        "nearest": f"mean ROUGE-L to the nearest is {window.nearest or 0:.2f} (bound {bounds.max_nearest:g})",
        "openings": f"{window.openings or 0:.0%} begin with one of ten openings (bound {bounds.max_openings:.0%})",
        "new_pairs": (
            f"{window.new_pairs:,} new pairs of verb and noun came with {window.accepted:,} accepted "
            f"(bound {bounds.min_new_pairs:.0%})"
        ),
    }
    rounds = f"in rounds {window.first_round} to {window.last_round}"
    if reasons and window.warnings == ("acceptance",) and not is_repeating(reasons):
        return f"{said['acceptance']} {rounds} {mostly(reasons)}"
    found = "; ".join(said[name] for name in window.warnings)
    does = "diversify is on: the next rounds ask for what is rare" if acts else f"{VARY}; docs/diversity.md says more"
    return f"{REPEATS} {rounds}: {found}; {does}"
