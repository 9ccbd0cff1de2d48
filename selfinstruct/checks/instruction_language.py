"""Whether an instruction is in one of the languages a pool is kept to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.errors import ConfigError, nearest
from selfinstruct.similarity.tokens import tokenize

CERTAIN = 0.75
"""The belief in another language from which an instruction is rejected."""
SAMPLE = 300
"""Texts whose languages are looked at."""
LEAST_SHARE = 0.02
"""A quick look errs: languages with a smaller share are not named."""
_LATIN = regex.compile(r"(?<![\p{Latin}\d_])[\d_]*+\p{Latin}[\p{Latin}\d_]*")
_NAME = regex.compile(r"(?<=[\p{L}\d,;)][ ])\p{Lu}[\p{L}\p{M}'’-]*")
"""A word with a capital in mid-sentence: a foreign name does not change the language, "a week in Reykjavík"."""
_QUOTED = regex.compile(r"\"[^\"]*\"|“[^“”]*”|‘[^‘’]*’|«[^«»]*»|„[^„“”]*[“”]|「[^「」]*」|《[^《》]*》|`[^`]*`")


def wrong_language(languages: tuple[str, ...]) -> Callable[[str], Fault | None]:
    """A check that finds instructions in none of these languages (ISO 639-1 codes), `wrong_language`.

    Only the instruction is looked at, without what it quotes: what a task is about may well be in another language.
    A quick look at all languages names a suspect; a careful one then decides between it and the languages wanted, and
    between English and these, since English is what most models fall back to, and a quick look mistakes short texts.

    Raises:
        ConfigError: a code is not known, or the detector is not installed.
    """
    names = language_names(languages)
    known, allowed = _known(), frozenset(names)

    def check(text: str) -> Fault | None:
        plain = _without_terms(_QUOTED.sub(" ", text))
        suspect, _ = _guess(plain, frozenset(known))
        for other in sorted({suspect, "en"} - allowed) if suspect else ():
            guesses = [_guess(one, allowed | {other}) for one in (plain, _NAME.sub(" ", plain))]
            certain = {code: belief for code, belief in guesses if belief >= CERTAIN}
            if guesses[1][0] == other and certain.keys() == {other}:
                wanted = ", ".join(names[one] for one in sorted(allowed))
                return reject("wrong_language", f"{_name(known[other])} ({certain[other]:.2f}), wanted {wanted}")
        return None

    return check


def language_names(codes: Iterable[str]) -> dict[str, str]:
    """The English names of languages by ISO 639-1 code, each once, in the order given.

    Raises:
        ConfigError: a code is not known, or the detector, which knows them, is not installed.
    """
    known = _known() if (wanted := list(dict.fromkeys(code.strip().lower() for code in codes))) else {}
    for code in wanted:
        if code not in known:
            named = code.replace("_", "-").partition("-")[0]
            name = nearest(code, [language.name for language in known.values()])
            meant = [one for one, language in known.items() if one == named or language.name == name]
            hint = f"did you mean {meant[0]}?" if meant else f"known: {', '.join(sorted(known))}"
            raise ConfigError(f"filters.languages: unknown code {code!r}; {hint}")
    return {code: _name(known[code]) for code in wanted}


def _name(language: Any) -> str:
    name: str = language.name.title()
    return {"Bokmal": "Norwegian Bokmål", "Nynorsk": "Norwegian Nynorsk"}.get(name, name)


def likely_language(text: str) -> str | None:
    """The language that an instruction most likely is in, as ISO 639-1 code, at a quick look; None: none can be told.

    Raises:
        ConfigError: the detector is not installed.
    """
    return _guess(_without_terms(_QUOTED.sub(" ", text)), frozenset(_known()))[0]


@dataclass(frozen=True, slots=True)
class Languages:
    """The languages of a sample of texts."""

    sample: int
    counts: tuple[tuple[str, int], ...]
    """Code and texts of each that has a share worth naming, the most frequent first."""

    @property
    def unsure(self) -> int:
        """Texts of other languages, or of none that can be told."""
        return self.sample - sum(count for _, count in self.counts)

    def said(self) -> str:
        """In words."""
        names = language_names(code for code, _ in self.counts)
        shares = [f"{names[code]} {count / self.sample:.0%}" for code, count in self.counts]
        return ", ".join([*shares, *([f"others or unsure {self.unsure / self.sample:.0%}"] if self.unsure else [])])


def languages_of(instructions: Sequence[str]) -> Languages:
    """The languages of a sample spread evenly over the instructions.

    Raises:
        ConfigError: the detector is not installed.
    """
    sample = spread(instructions)
    found = Counter(map(likely_language, sample))
    least = LEAST_SHARE * len(sample)
    return Languages(len(sample), tuple((code, n) for code, n in found.most_common() if code and n >= least))


def strangers(instructions: Sequence[str], languages: tuple[str, ...]) -> str:
    """How many of a sample are in none of these languages, and in which most of them are, in words; empty for few.

    Raises:
        ConfigError: a code is not known, or the detector is not installed.
    """
    rule = wrong_language(languages)
    sample = spread(instructions)
    wrong = [text for text in sample if rule(text)]
    if len(wrong) < max(1, LEAST_SHARE * len(sample)):
        return ""
    most = languages_of(wrong).counts
    name = f", mostly {_name(_known()[most[0][0]])}" if most else ""
    looked = "" if len(sample) == len(instructions) else " looked at"
    return f"{len(wrong):,} of {len(sample):,} seeds{looked} are in another language{name}"


def spread(texts: Sequence[str]) -> Sequence[str]:
    """At most `SAMPLE` of the texts, spread evenly over them."""
    return texts[:: max(1, -(-len(texts) // SAMPLE))]


def _without_terms(text: str) -> str:
    """The text without Latin words, where it is mainly in another script: terms do not change its language."""
    latin = _LATIN.findall(text)
    others = [token for token in tokenize(_LATIN.sub(" ", text)) if not token.isdecimal()]
    return _LATIN.sub(" ", text) if len(others) >= len(latin) > 0 else text


def _guess(text: str, codes: frozenset[str]) -> tuple[str | None, float]:
    """The language among these that the text most likely is in, and the belief in it; None where none can be told."""
    beliefs = _detector(codes).compute_language_confidence_values(text)
    if not beliefs or not beliefs[0].value:
        return None, 0.0
    return beliefs[0].language.iso_code_639_1.name.lower(), beliefs[0].value


@lru_cache(maxsize=64)
def _detector(codes: frozenset[str]) -> Any:
    """Careful for a few languages; for all of them only quick, since their careful models take a gigabyte."""
    from lingua import LanguageDetectorBuilder  # noqa: PLC0415 - an optional package, and a large one

    known = _known()
    if codes == frozenset(known):
        return LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()
    return LanguageDetectorBuilder.from_languages(*(known[code] for code in sorted(codes))).build()


@lru_cache(maxsize=1)
def _known() -> dict[str, Any]:
    """All languages by code."""
    try:
        from lingua import Language  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            'filters.languages needs a language detector: pip install "selfinstruct[languages]"'
        ) from error
    return {language.iso_code_639_1.name.lower(): language for language in Language.all()}
