"""What the reasons of rejections say about a run that keeps almost nothing, and what helps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

REPEATS = "the model repeats itself"
VARY = "try --diversify auto, other seeds, topics or guidance, a higher temperature, or another model"
_ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("near_duplicate", "copy_of_demonstration", "duplicate", "repetition", "restated_question"),
        f"{REPEATS}: {VARY}",
    ),
    (
        ("wrong_language",),
        (
            "the model writes in another language than it is asked for: try seeds in that language, or another model; "
            "--language takes several"
        ),
    ),
    (
        ("unreadable", "no_label", "judge_unreadable"),
        (
            "answers are missing or not in the form that is asked for: try another model, or the other recipe, as chat "
            "is for instruction-tuned models and paper for base models"
        ),
    ),
    (
        ("cut_off", "unfinished"),
        "texts end before they are complete: raise max_tokens in [model] or [stages.STAGE], or turn thinking off",
    ),
    (
        ("blocked_words", "beyond_text", "attachment"),
        "tasks need more than text: say in guidance that nothing else is at hand, or change filters.blocked_words",
    ),
    (("too_short",), "instructions are too short: ask for more in guidance, or lower filters.min_words"),
    (("too_long",), "instructions are too long: ask for shorter ones in guidance, or raise filters.max_words"),
    (
        ("contaminated",),
        "the model writes what the excluded files hold: try other seeds, topics or guidance, or another model",
    ),
    (
        ("personal_data",),
        'texts hold personal data: filters.personal_data = "mask" puts placeholders in its place',
    ),
    (
        ("quota_full",),
        "more comes for a combination than its quota still takes, which is no fault; a larger quotas.each takes more",
    ),
    (("validator_error",), "a check fails with an error: `explain validator_error` shows it; mend the check"),
    (("step_error",), "a step fails with an error: `explain step_error` shows it; mend the step"),
    (("refusal",), "the model declines to answer: try guidance that leads elsewhere, or another model"),
    (
        ("judged_invalid", "judged_input", "judged_output", "no_agreement"),
        "the judge or other answers say that it is wrong: try a stronger model, or lower scores under [judge]",
    ),
)
"""Reasons of one kind, and what helps."""
_ADVICE_FOR = {reason: advice for reasons, advice in _ADVICE for reason in reasons}


def diagnosis(reasons: Mapping[str, int]) -> str:
    """What the kind of reason that rejected most means, and what helps; empty where nothing was rejected."""
    kinds: Counter[str] = Counter()
    for reason, count in reasons.items():
        other = f"texts break the rule {reason}: try other guidance, prompts or filters, or another model"
        kinds[_ADVICE_FOR.get(reason, other)] += count
    return kinds.most_common(1)[0][0] if kinds else ""


def is_repeating(reasons: Mapping[str, int]) -> bool:
    """Whether most was rejected because it had been written before."""
    return diagnosis(reasons).startswith(REPEATS)


def mostly(reasons: Mapping[str, int]) -> str:
    """The most frequent reasons with their counts, and what they mean; empty where nothing was rejected."""
    most = ", ".join(f"{reason} {count:,}" for reason, count in Counter(reasons).most_common(3))
    return f"(mostly rejected: {most}): {diagnosis(reasons)}" if most else ""


_PREVAILS, _LEAST_DECIDED = 0.6, 2
_FIRST_SIGNS = {
    "copy_of_demonstration": "the model copies what it is shown; its server may lack a chat template or the first "
    'token (BOS), or the model is too small: try recipe.prompts = "small", or --recipe paper for a base model',
    "no_request": "the model writes texts that ask nothing; it may be too small or a base model: "
    'try recipe.prompts = "small", or --recipe paper',
    "prompt_echo": 'the model recites its prompts: try recipe.prompts = "small", or a larger model',
}


def first_signs(accepted: int, rejected: Mapping[str, int]) -> str:
    """What is likely wrong where one kind of fault prevails in the first round of a run; empty where none does."""
    decided = accepted + sum(rejected.values())
    reason, count = max(rejected.items(), key=lambda one: one[1], default=("", 0))
    if decided < _LEAST_DECIDED or count < _PREVAILS * decided:
        return ""
    meaning = _FIRST_SIGNS.get(reason) or diagnosis({reason: count})
    return f"of the first {decided:,} items {count:,} are {reason}: {meaning}"
