"""Tasks that no text model can do: to survey people, to draw, to see a picture or an attachment, to have a life."""

from __future__ import annotations

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.word_lists import words
from selfinstruct.checks.wording import quoted

_A = r"(?:(?:an?|the|this|these|some|my|our)\s+)?"
_ADJECTIVES = r"(?:(?!(?:about|on|of|with|for|in|to|from|by|as|that|which|and|or)\b)[\p{L}'’.-]{1,30}\s+){0,4}"
_END = r"(?=\s*(?:$|[.,;:!?])|\s+(?:of|for|that|which|with|in|on|about|to|from|using|\p{L}+ing)\b)"
_ABOUT_IT = (
    r"\s+(?:ideas?|descriptions?|concepts?|slogans?|captions?|names?|titles?|briefs?|prompts?|copy|text|scripts?)\b"
)
_SEEN = r"(?:photo(?:graph)?|picture|image|screenshot|video|recording|audio(?:\s+(?:clip|file))?|diagram|drawing)s?"
_ACTS = regex.compile(
    r"^\W{0,5}(?:please\s+)?(?:"
    rf"conduct\s+{_A}{_ADJECTIVES}(?:survey|poll)s?\b"
    rf"|(?:design|create|make|generate|draw|paint|produce)\s+{_A}{_ADJECTIVES}"
    rf"(?:(?:logo|poster|infographic|illustration|painting)s?\b(?!{_ABOUT_IT})"
    rf"|(?:{_SEEN}|flow-?charts?|(?:bar|pie|line)\s+charts?|visual\s+representations?){_END})"
    r"|(?:graph|plot)\s+(?:the|an?|these)\s+(?:solutions?|functions?|equations?|data|line|graph)\b)",
    regex.IGNORECASE,
)
_SEES = regex.compile(
    rf"\b(?:given|provided|attached|following)\s+{_SEEN}\b(?!{_ABOUT_IT})"
    rf"|\b{_SEEN}\s+(?:above|below|provided|attached|shown)\b"
    rf"|\b(?:describe|caption|transcribe)\b[^.?!\n]{{0,40}}\b(?:the|this|these)\s+{_SEEN}(?=\s*(?:$|[.?!])|\s+shows?\b)",
    regex.IGNORECASE,
)
_ATTACHED = regex.compile(
    r"\battached\s+(?:documents?|files?|articles?|reports?|spreadsheets?|texts?|tables?|data(?:set)?|papers?|essays?)\b",
    regex.IGNORECASE,
)
_LIVES = regex.compile(
    r"^\W{0,5}(?:(?:wh\w+|how)\b[^.?!\n]{0,60}\s)?(?:do|did|would|are|were|have)\s+you\s+(?:really\s+|ever\s+|usually\s+)?"
    r"(?:like|love|prefer|enjoy|hate|own|live|eat|feel|remember|been|doing|going)\b[^.?!\n]*\?"
    r"|^\W{0,5}what(?:\s+is|['’]s|\s+are)\s+your\s+favou?rite\b",
    regex.IGNORECASE,
)
_WRITES = regex.compile(r"^\W{0,5}(?:please\s+)?(?:write|draft|compose)\b", regex.IGNORECASE)


def beyond_text(text: str) -> Fault | None:
    """`beyond_text` for what no text model can: a survey, a picture to make or to look at, a file, likes of its own.

    An act counts where it begins the instruction. What code may draw or words may stand for does not count.
    """
    found = _ACTS.search(text)
    if found and words("drawn_in_words").search(text):
        found = None
    found = found or _SEES.search(text)
    if found and words("drawn_in_code").search(text):
        found = None
    found = found or _LIVES.search(text)
    if found is None and not _WRITES.search(text):
        found = _ATTACHED.search(text)
    return reject("beyond_text", quoted(found[0])) if found else None
