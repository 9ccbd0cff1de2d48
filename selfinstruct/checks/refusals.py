"""Answers in which a model declines, or asks back, instead of answering."""

from __future__ import annotations

import regex

from selfinstruct.checks.word_lists import any_of, words

_CANNOT = (
    r"(?:can\s?not|can['’]?t|(?:am|['’]m)\s+(?:unable|not\s+able)\s+to|won['’]t\s+be\s+able\s+to|must\s+decline"
    r"|(?:do\s+not|don['’]t)\s+have\s+(?:access|the\s+ability))"
)
_SORRY = (
    r"(?:(?:i['’]?m|i\s+am)\s+(?:so\s+|very\s+)?(?:sorry|afraid)|sorry|unfortunately"
    r"|i\s+apologi[sz]e|(?:my\s+)?apologies)"
)
_SPEAKS_AS_MODEL = regex.compile(
    rf"^\W*(?:{_SORRY},?\s+(?:but\s+)?)?(?:as|i\s+am|i['’]m)\s+(?:just\s+)?an?\s+(?:large\s+)?(?:ai|language\s+model)"
    r"(?:[\s-]+(?:language|model|assistant|chatbot))*\s*(?:[,.]|\b(?:and|i|it|my|without|developed|trained)\b)"
    rf"|^\W*{any_of('speaks_as_model')}",
    regex.IGNORECASE,
)
_DECLINES = regex.compile(
    rf"^\W*(?:{_SORRY},?\s+(?:but\s+)?(?:that\s+)?i\s?{_CANNOT}|i\s+{_CANNOT}\s+{any_of('serves')}"
    rf"|i(?:['’]m|\s+am)\s+(?:unable|not\s+able)\s+to\b|i\s+(?:do\s+not|don['’]t)\s+have\s+(?:access\s+to|the\s+ability\s+to)"
    rf"|{any_of('declines')})",
    regex.IGNORECASE,
)
_AS_A_MACHINE = regex.compile(
    rf"{any_of('tells_a_story')}.{{0,80}}{any_of('machines')}|{any_of('machines')}['’]s\b.{{0,40}}{any_of('tells_a_story')}",
    regex.IGNORECASE | regex.DOTALL,
)
_ASKS_BACK = regex.compile(
    r"^\W*(?:(?:sure|certainly|of\s+course|okay|ok|yes|absolutely|hello|hi)\b[^.?!\n]{0,60}[.,!:]?\s+)?"
    r"(?:i(?:['’]?m|\s+am)\s+(?:here|ready|happy)\s+to\s+(?:help|assist)\b"
    r"|(?:to\s+[^.?!\n]{3,80},\s+)?(?:(?:could|can|would|will)\s+you\s+(?:please\s+)?|please\s+"
    r"|i\s+(?:will\s+|would\s+|['’]?ll\s+)?need\s+(?:you\s+to\s+)?)"
    rf"(?:provide|share|give|send|specify|paste|upload|tell|enter|supply|clarify|more|the|some)\b[^.?!\n]{{0,120}}{any_of('material_asked_for')})"
    r"|\bwh(?:at|ich)\b[^.?!\n]{0,60}\b(?:are\s+you\s+(?:referring|talking|thinking|looking)|(?:would|do)\s+you\s+(?:like|want|need|mean))\b"
    r"[^.?!\n]{0,40}\?\s*$",
    regex.IGNORECASE,
)


def refused(instruction: str, given: str, output: str) -> str | None:
    """How an output declines the task, in its words; None: it does not, or the task asks for just that.

    A task about apologies, refusals or excuses may be answered by one, and a task that retells or answers its input may
    when the input has such words. Speaking as a language model is a refusal there as well, unless the task asks for it
    or a machine is to tell a story.
    """
    as_model, declines = _SPEAKS_AS_MODEL.search(output), _DECLINES.search(output)
    if not (as_model or declines) or words("wants_refusal").search(instruction):
        return None
    if as_model and not _AS_A_MACHINE.search(instruction):
        return as_model[0]
    if words("retells").search(instruction) and words("regrets").search(f"{given}\n{instruction}"):
        return None
    return declines[0] if declines else None


def asks_back(instruction: str, given: str, output: str) -> str | None:
    """How a short output asks for the material or for details, in its words; None where it does not, or may."""
    found = _ASKS_BACK.search(output) if len(output.split()) <= 60 else None
    if found is None or words("may_ask").search(instruction):
        return None
    return found[0] if found[0] not in given else None
