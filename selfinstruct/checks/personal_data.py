"""Data of persons and secrets in a text: e-mail addresses, telephone and card numbers, IBANs, keys and tokens.

What everybody uses as an example is none: reserved domains and numbers, published test cards, placeholders.
"""

from __future__ import annotations

import math
import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.word_lists import published
from selfinstruct.similarity.tokens import visible


@dataclass(frozen=True, slots=True)
class Found:
    """A piece of personal data: its kind, as in a placeholder, and where it stands."""

    kind: str
    start: int
    end: int
    text: str


IN_WORDS: Mapping[str, str] = {
    "EMAIL": "an e-mail address",
    "PHONE": "a telephone number",
    "CARD": "a card number",
    "IBAN": "an IBAN",
    "KEY": "a key or token",
}
"""The kinds, in words."""
_PLACEHOLDER = regex.compile(rf"\[({'|'.join(IN_WORDS)})_(\d+)\]")

_EMAIL = regex.compile(
    r"(?<![\w.+%-])(?P<local>[\w.+%-]{1,64})@(?P<domain>(?:[\w-]{1,63}\.){1,6}\p{L}{2,24})(?![\w@-])"
)
_RESERVED_DOMAIN = regex.compile(
    rf"(?:^|\.)(?:{'|'.join(published()['top_domains'].split())})$"
    rf"|(?:^|[.-])(?:my|your|the)?-?(?:{'|'.join(published()['domains'].split())})\d*(?:\.\p{{L}}{{2,10}}){{1,2}}$",
    regex.IGNORECASE,
)
_NOBODY = regex.compile("|".join(published()["mailboxes"].split()), regex.IGNORECASE)
"""Mailboxes of roles, and names that stand for anybody."""

_NORTH_AMERICAN = regex.compile(r"(?<![\d.\w-])(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\d\w-]|\.\d)")
_CHINESE = regex.compile(r"(?<![\dA-Za-z_.-])1[3-9]\d(?:[ -]?\d{4}){2}(?![\dA-Za-z_-])")
_NAMED_NUMBER = regex.compile(
    r"(?:\b(?:tel|telephone|phone|mobile|cell|call|fax|whatsapp|telefon|handy|t[ée]l[ée]phone|portable|tel[ée]fono|cellulare)"
    r"\b\.?|电话|手机)[^\d+\n]{0,15}(?P<number>\(?0\d[\d ()/.-]{6,14}\d)(?!\d)",
    regex.IGNORECASE,
)
_FICTION = regex.compile("|".join(published()["fiction"].split()))
"""Numbers that the authorities of some countries keep free for films and books."""
_IN_A_ROW = regex.compile(
    r"0?123456|234567|345678|456789|987654|876543|765432|654321|(\d)\1{5}|(?:(\d\d)\2{3})|(\d{3,4})\3"
)

_CARD_GROUPS = regex.compile(
    r"(?<![\w.-]|\d )(?:\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4}|3[47]\d{2}[ -]\d{6}[ -]\d{5})(?![\w-]|\.\d| \d{4}(?!\d))"
)
_CARD_BARE = regex.compile(r"(?<![\w.-])\d{15,16}(?![\w-]|\.\d)")
_ABOUT_CARDS = regex.compile(
    r"\b(?:cards?|visa|mastercard|amex|american\s+express|credit|debit|cvv|karte|carte|tarjeta)\b|卡号|信用卡|银行卡",
    regex.IGNORECASE,
)
_ISSUED = regex.compile(r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|35(?:2[89]|[3-8])|6(?:011|4[4-9]|5|2)")

_IBAN = regex.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?!\w)")
_TOKEN = regex.compile(
    r"(?<![A-Za-z0-9_-])(?:(?:AKIA|ASIA)[0-9A-Z]{16}|sk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{20,200}|(?:sk|rk)_live_[0-9A-Za-z]{16,99}"
    r"|gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_\w{60,100}|glpat-[\w-]{20,64}|xox[abprs]-[0-9A-Za-z-]{20,200}|hf_[A-Za-z0-9]{30,60}"
    r"|AIza[\w-]{35}|ya29\.[\w-]{30,300}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,250}|SG\.[\w-]{22}\.[\w-]{43}|dop_v1_[0-9a-f]{64}"
    r"|eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{20,1000})(?![A-Za-z0-9_])"
)
_PRIVATE_KEY = regex.compile(r"-----BEGIN (?:[A-Z]{2,10} )?PRIVATE KEY(?: BLOCK)?-----\s++")
_KEY_END = "-----END"
_KEY_BODY = regex.compile(r"[\w+/=\s:,.-]{60,}+")
_LONGEST_KEY = 4000
_ASSIGNED = regex.compile(
    r"(?:key|secret|token|passw(?:or)?d|credentials?)\b[\"']?\s*(?::|=|\bis\b)"
    r"\s*[\"'`]?(?P<value>[A-Za-z0-9+/_=-]{20,200})(?![A-Za-z0-9])|\bBearer\s+(?P<value>[A-Za-z0-9+/_=.-]{24,400})",
    regex.IGNORECASE,
)
_LONG_RUN = re.compile(r"[\w+/=.-]{20}")
"""What every token holds."""
_DIGIT = re.compile(r"\d")
_MADE_UP = regex.compile(
    r"your|example|sample|dummy|placeholder|replace|change|insert|redact|secret|token|apikey|api_?key|password|test|demo|fake"
    r"|foo|x{4}|\*{3}|\.{3}|123456|abcdef|abc123|0{6}|(?<!\d)(\d)\1{5}|qwerty|lorem|here",
    regex.IGNORECASE,
)
_TEXTBOOK_TOKEN = "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"  # noqa: S105 - the signature in every tutorial on JWT


def personal_data(text: str) -> Fault | None:
    """`personal_data` for a text that holds some. What it is shows in the evidence by its first characters only."""
    found = find_personal_data(text)
    return reject("personal_data", f'{IN_WORDS[found[0].kind]}: "{found[0].text[:2]}…"') if found else None


def mask(*texts: str) -> tuple[str, ...]:
    """The texts with placeholders such as [EMAIL_1] instead of personal data, one for each value in all of them.

    Numbers go on from placeholders that are there already.
    """
    numbers: Counter[str] = Counter()
    for text in texts:
        for kind, number in _PLACEHOLDER.findall(text):
            numbers[kind] = max(numbers[kind], int(number))
    known: dict[tuple[str, str], str] = {}
    masked = []
    for text in texts:
        pieces, end = [], 0
        for found in find_personal_data(text):
            key = found.kind, _same(found)
            if key not in known:
                numbers[found.kind] += 1
                known[key] = f"[{found.kind}_{numbers[found.kind]}]"
            pieces += [text[end : found.start], known[key]]
            end = found.end
        masked.append("".join([*pieces, text[end:]]))
    return tuple(masked)


def _same(found: Found) -> str:
    """What two spellings of one value share."""
    if found.kind in {"PHONE", "CARD"}:
        return "".join(filter(str.isdecimal, found.text))
    return "".join(found.text.split()).casefold() if found.kind in {"EMAIL", "IBAN"} else found.text


def find_personal_data(text: str) -> list[Found]:
    """What a text holds, in order and without overlap; of two that overlap the more special one.

    Characters that nobody sees hide none of it.
    """
    taken: list[Found] = []
    seen = visible(text)
    digits = len(_DIGIT.findall(seen))
    for find, least in ((_keys, 0), (_ibans, 2), (_cards, 15), (_emails, 0), (_phones, 9)):
        for found in find(seen) if digits >= least else ():
            place = bisect(taken, found.start, key=lambda other: other.start)
            before, after = taken[max(place - 1, 0) : place], taken[place : place + 1]
            if all(one.end <= found.start for one in before) and all(found.end <= one.start for one in after):
                taken.insert(place, found)
    if seen == text:
        return taken
    places = [place for place, character in enumerate(text) if visible(character)]
    return [Found(one.kind, places[one.start], places[one.end - 1] + 1, one.text) for one in taken]


def _emails(text: str) -> Iterator[Found]:
    for found in _EMAIL.finditer(text) if "@" in text else ():
        if not _RESERVED_DOMAIN.search(found["domain"]) and not _NOBODY.fullmatch(found["local"]):
            yield Found("EMAIL", found.start(), found.end(), found[0])


def _cards(text: str) -> Iterator[Found]:
    hits = list(_CARD_GROUPS.finditer(text))
    if _ABOUT_CARDS.search(text):
        hits += _CARD_BARE.finditer(text)
    for found in hits:
        from stdnum import luhn  # noqa: PLC0415 - only who meets such a number waits for it

        number = "".join(filter(str.isdecimal, found[0]))
        invented = number in published()["cards"].split() or len(set(number)) <= 4 or _IN_A_ROW.search(number)
        if not invented and _ISSUED.match(number) and luhn.is_valid(number):
            yield Found("CARD", found.start(), found.end(), found[0])


def _ibans(text: str) -> Iterator[Found]:
    for found in _IBAN.finditer(text):
        from stdnum import iban  # noqa: PLC0415

        number = found[0].replace(" ", "").replace("-", "")
        if number not in published()["ibans"].split() and iban.is_valid(number):
            yield Found("IBAN", found.start(), found.end(), found[0])


def _phones(text: str) -> Iterator[Found]:
    hits: list[tuple[int, str, tuple[str | None, ...]]] = []
    if "+" in text:
        hits += [(found.start(), found[0], (None,)) for found in _INTERNATIONAL.finditer(text)]
    hits += [(found.start(), found[0], ("US",)) for found in _NORTH_AMERICAN.finditer(text)]
    hits += [(found.start("number"), found["number"], ("GB", "DE", "FR")) for found in _NAMED_NUMBER.finditer(text)]
    if regex.search(r"\p{Han}", text):
        hits += [(found.start(), found[0], ("CN",)) for found in _CHINESE.finditer(text)]
    for start, number, regions in hits:
        if any(_is_phone(number, region) for region in regions):
            yield Found("PHONE", start, start + len(number), number)


_INTERNATIONAL = regex.compile(r"(?<![\w+])\+\(?[1-9](?:[ ()./-]{0,2}\d){7,14}(?!\d)")


def _is_phone(text: str, region: str | None) -> bool:
    """Whether this is the number of somebody: valid, and neither a service's nor one of fiction."""
    import phonenumbers  # noqa: PLC0415 - only who meets such a number waits for it

    try:
        number: Any = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return False
    types = phonenumbers.PhoneNumberType
    spelled = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return (
        phonenumbers.is_valid_number(number)
        and phonenumbers.number_type(number)
        not in {types.TOLL_FREE, types.PREMIUM_RATE, types.SHARED_COST, types.UAN, types.VOICEMAIL}
        and not _FICTION.fullmatch(spelled)
        and not _IN_A_ROW.search(str(number.national_number))
    )


def _keys(text: str) -> Iterator[Found]:
    yield from _private_keys(text)
    if not _LONG_RUN.search(text):
        return
    for found in _TOKEN.finditer(text):
        if not _MADE_UP.search(found[0]) and not found[0].endswith(_TEXTBOOK_TOKEN) and _bits(found[0]) > 3.2:
            yield Found("KEY", found.start(), found.end(), found[0])
    for found in _ASSIGNED.finditer(text):
        value = found["value"]
        mixed = regex.search(r"\d", value) and regex.search(r"\p{L}", value)
        if mixed and not _MADE_UP.search(value) and not value.endswith(_TEXTBOOK_TOKEN) and _bits(value) > 3.7:
            yield Found("KEY", found.start("value"), found.end("value"), value)


def _private_keys(text: str) -> Iterator[Found]:
    """Each from its first line to its last, or to the end of the text where that is missing."""
    ends = [found.start() for found in regex.finditer(_KEY_END, text)] if "PRIVATE KEY" in text else []
    done = 0
    for begun in _PRIVATE_KEY.finditer(text) if "PRIVATE KEY" in text else ():
        place = bisect(ends, begun.end() + 59)
        end = ends[place] if place < len(ends) else len(text)
        is_near = begun.start() >= done and end - begun.end() <= _LONGEST_KEY
        if not is_near or not _KEY_BODY.fullmatch(text, begun.end(), end):
            continue
        body = text[begun.end() : end]
        done = min(end + len(_KEY_END), len(text))
        if not _MADE_UP.search(body) and _bits(body) > 4:
            yield Found("KEY", begun.start(), done, text[begun.start() : done])


def _bits(text: str) -> float:
    """Shannon entropy of the characters, in bits each: 4.3 to 5.5 for random ones, below 3.5 for most words."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
