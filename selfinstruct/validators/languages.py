"""Outputs in another language than the instruction asks for."""

from __future__ import annotations

from collections.abc import Mapping

import regex

from selfinstruct.filters.instances import Validator
from selfinstruct.filters.language import wrong_language
from selfinstruct.filters.wording import Fault, excerpt
from selfinstruct.novelty.tokens import tokenize
from selfinstruct.records import Instance, Task

_NAMES: Mapping[str, str] = {
    "ar": "arabic|arabisch|arabe|阿拉伯[语文]", "bn": "bengali|bangla", "bg": "bulgarian", "cs": "czech|tschechisch",
    "da": "danish|dänisch", "de": "german|deutsch|deutsche|allemand|alemán|德[语文]",
    "el": "greek|griechisch|grec|希腊[语文]",
    "en": "english|englisch|englische|anglais|inglés|inglês|inglese|英[语文]|英語",
    "es": "spanish|spanisch|spanische|espagnol|español|espanhol|spagnolo|castellano|西班牙[语文]", "et": "estonian",
    "fa": "persian|farsi", "fi": "finnish|finnisch",
    "fr": "french|französisch|französische|français|francés|francês|法[语文]",
    "he": "hebrew|hebräisch", "hi": "hindi", "hu": "hungarian|ungarisch", "hy": "armenian", "id": "indonesian",
    "it": "italian|italienisch|italienische|italien|italiano|意大利[语文]",
    "ja": "japanese|japanisch|japonais|japonés|日[语文]|日本語", "ka": "georgian",
    "ko": "korean|koreanisch|coréen|coreano|韩[语文]|한국어",
    "lt": "lithuanian", "lv": "latvian",
    "nl": "dutch|niederländisch|néerlandais|荷兰[语文]", "no": "norwegian|norwegisch",
    "pl": "(?-i:Polish)|polnisch|polonais|polaco",
    "pt": "portuguese|portugiesisch|portugais|portugués|português|葡萄牙[语文]",
    "ro": "romanian|rumänisch", "ru": "russian|russisch|russe|ruso|俄[语文]", "sk": "slovak",
    "sv": "swedish|schwedisch|suédois|sueco",
    "sw": "swahili", "ta": "tamil", "te": "telugu", "th": "thai|泰[语文]", "tr": "turkish|türkisch|turc|turco",
    "uk": "ukrainian|ukrainisch", "ur": "urdu", "vi": "vietnamese|vietnamesisch|越南[语文]",
    "zh": "chinese|mandarin|chinesisch|chinois|chino|中文|汉语|漢語|中国語",
}  # fmt: skip
"""Names of languages, as patterns, by ISO 639-1 code."""
_ANY = "|".join(f"(?P<{code}>{names})" for code, names in _NAMES.items())
_KIND = (
    r"(?:(?:simple|formal|informal|modern|standard|traditional|simplified|brazilian|european|mexican|british|american"
    r"|plain|fluent)\s+)?"
)
_WANTED = regex.compile(
    r"(?<!\b(?:has|have|had|is|are|was|were)\s)\b(?:translat\w*|render|convert|put|say|said|write|written|answer|respond|reply|rewrite|express|explain|compose|summari[sz]e|describe"
    r"|tell|give|state|list|draft|create|generate|traduce|traduis\w*|traduz\w*|traduisez|traduci|schreib\w*|antwort\w*|beschreib\w*|erkl[äa]r\w*"
    r"|[üu]bersetz\w*|escrib\w*|respond\w*|r[ée]pond\w*|[ée]cri\w*|explica|expliqu\w*)\b[^.?!。\n\"“:]{0,100}?"
    rf"(?:\b(?:in|into|to|ins?|auf|en|al|em|in\s+das|ins|vers\s+l['’]|en\s+l['’])\s+|l['’])(?:the\s+)?{_KIND}(?:{_ANY})\b(?P<after>[^.?!\n:]{{0,30}})"
    rf"|(?:翻译?[成为到]?|译[成为]|用|以|写成|改成|转[成为])(?:现代|标准)?(?:{_ANY})(?P<after>[^。？！\n：]{{0,12}})",
    regex.IGNORECASE,
)
_NOT_A_LANGUAGE_NOW = regex.compile(
    r"\s*(?:-|class|lessons?|literature|grammar|teachers?|students?|speakers?|speaking|cuisine|food|culture|history|language\s+learn|words?"
    r"|alphabet|letters?|and\b|or\b|,|/|&|with\b|along|as\s+well|then|numerals?|numbers?|exam|course|poetry|people|dishes|roots?|origin"
    r"|breakfast|muffins?|style|accent|units?|learners?|和|或|、|课|老师|单词|字母|与|及|学|作文)",
    regex.IGNORECASE,
)
_MAY_FOLLOW = regex.compile(
    r"\s*(?:$|[;)\p{Han}]|(?:language|please|only|about|for|on|of|to|using|so|as|by|at|from|that|which|how|what|why|who|when|where"
    r"|the|this|these|a|an|my|your|his|her|their|it|describing|explaining|de|del|du|sur|sobre|über|für|von)\b)",
    regex.IGNORECASE,
)
_MIXED = regex.compile(
    r"\b(?:pinyin|romani[sz]\w*|romaji|transliterat\w*|phonetic\w*|pronounc\w*|pronunciation|latin\s+(?:letters|script|alphabet)|bilingual"
    r"|both\s+languages|explain\w*\s+(?:the\s+)?(?:meaning|difference|grammar)|code|json|python|function|program|which\s+language|what\s+language"
    r"|flash\s*cards?|vocabulary|dictionary|alphabet|meaning\s+of|means?|word\s+for|define|etymolog\w*)\b|拼音|解释|意思|代码|程序",
    regex.IGNORECASE,
)
_LETTERS = regex.compile(r"\p{L}")
_QUOTED = regex.compile(r"\"[^\"]*\"|“[^“”]*”|«[^«»]*»|„[^„“”]*[“”]|「[^「」]*」|《[^《》]*》|`[^`]*`|\([^()]*\)")
_SCRIPTS: Mapping[str, str] = {
    "ar": "Arabic", "fa": "Arabic", "ur": "Arabic", "bn": "Bengali", "bg": "Cyrillic",
    "ru": "Cyrillic", "uk": "Cyrillic", "el": "Greek",
    "he": "Hebrew", "hi": "Devanagari", "hy": "Armenian",
    "ja": "Hiragana}\\p{Katakana}\\p{Han", "ka": "Georgian", "ko": "Hangul",
    "ta": "Tamil", "te": "Telugu", "th": "Thai", "zh": "Han",
}  # fmt: skip
_OF_SCRIPT = {code: regex.compile(rf"[\p{{{name}}}]") for code, name in _SCRIPTS.items()}
_LATIN = regex.compile(r"\p{Latin}")
_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
_HAN = regex.compile(r"\p{Han}")

_COMMON: Mapping[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "en": (
            "the and of with that this you are was were have has which would should from they their there been "
            "your what"
        ),
        "de": (
            "der die das und ist nicht ein eine einen mit für auf dem den sich auch wird sind ich sie wir oder "
            "aber zu im"
        ),
        "fr": (
            "le les et est une dans pour qui sur avec vous nous elle sont mais pas ce cette aux ses être je il du des"
        ),
        "es": "el los las y una es con por para pero más está son muy usted ella sus como del lo su al han ser",
        "it": "il gli di che è con sono della nel più anche questo per una non alla delle dei ho ha si lo",
        "pt": "o os as e é um uma com não para mais você são dos da do em ao muito ela pelo pela mas foi",
        "nl": "het een van en niet zijn voor met ook maar wordt deze hij naar ik je wij worden bij uit hebben",
        "sv": "och att är det som en för inte av till på jag vi har ett med den kan från",
        "pl": "i w na się jest nie że z do to jak są ale dla przez który od po oraz",
    }.items()
}
"""Small words by language. Those that another of these languages has as well do not count."""
_KIN = ({"es", "pt"}, {"da", "no", "sv"}, {"nl", "de"}, {"cs", "sk", "pl"}, {"es", "it"}, {"pt", "it"})
_OWN = {
    code: words - frozenset().union(*(other for name, other in _COMMON.items() if name != code))
    for code, words in _COMMON.items()
}


def asked_language(instruction: str) -> str | None:
    """The code of the one language that an instruction wants its answer in; None: none is beyond doubt."""
    if _MIXED.search(instruction):
        return None
    found = [
        match
        for match in _WANTED.finditer(instruction)
        if _MAY_FOLLOW.match(match["after"]) and not _NOT_A_LANGUAGE_NOW.match(match["after"])
    ]
    codes = {code for match in found for code in _NAMES if match[code]}
    return codes.pop() if len(codes) == 1 else None


def language_match(task: Task, instance: Instance) -> Fault | None:
    """`wrong_language` for an output that is plainly not in the language asked for.

    By its script where the language has one of its own; among languages in Latin letters by small words: at least three
    of another language and none of the one asked for. Works without a detector, so that it is the same everywhere.
    """
    code = asked_language(task.instruction)
    if code is None:
        return None
    text = _QUOTED.sub(" ", instance.output)
    text = text if _LETTERS.search(text) else instance.output
    letters = len(_LETTERS.findall(text))
    if letters < 4 or "```" in text:
        return None
    found = _wrong_script(code, text, letters) if code in _SCRIPTS else _wrong_words(code, text, letters)
    return Fault("wrong_language", f'{found}, wanted {_english(code)}: "{excerpt(text, 40)}"') if found else None


def _wrong_script(code: str, text: str, letters: int) -> str | None:
    if not _OF_SCRIPT[code].search(text):
        return "another script"
    if code == "zh" and len(_KANA.findall(text)) * 5 > letters:
        return "Japanese"
    if code == "ja" and letters > 20 and len(_HAN.findall(text)) == letters:
        return "Chinese"
    return None


def _wrong_words(code: str, text: str, letters: int) -> str | None:
    if len(_LATIN.findall(text)) * 10 < letters * 3:
        return "another script"
    tokens = tokenize(text)
    kin = {code}.union(*(family for family in _KIN if code in family))
    counts = {name: sum(token in words for token in tokens) for name, words in _OWN.items()}
    best = max((name for name in counts if name not in kin), key=lambda name: counts[name])
    own = counts.get(code, 0)
    if counts[best] < 3 or counts[best] * 12 < len(tokens) or own or _has_own_letters(code, text):
        return None
    return _english(best)


def _has_own_letters(code: str, text: str) -> bool:
    """Whether a text has letters that English lacks, where the language has no list of small words."""
    return code not in _COMMON and bool(regex.search(r"[^\p{ASCII}\p{P}\p{S}\s]", text))


def _english(code: str) -> str:
    return _NAMES[code].partition("|")[0].title()


def careful_language_match() -> Validator:
    """`language_match` with the detector of the extra `languages` behind it, for outputs of thirty letters and more.

    Raises:
        ConfigError: the detector is not installed.
    """
    wrong_language(("en",))

    def check(task: Task, instance: Instance) -> Fault | None:
        if fault := language_match(task, instance):
            return fault
        code = asked_language(task.instruction)
        text = instance.output
        if code is None or "```" in text or len(_LETTERS.findall(text)) < 30:
            return None
        return wrong_language(("nb" if code == "no" else code,))(text)

    return check
