"""Dates, weekdays and times of day."""

from __future__ import annotations

import random
import re
from calendar import isleap, monthrange
from collections.abc import Callable
from datetime import date, timedelta

from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import EVENTS, MONTHS, NAMES, WEEKDAYS, joined, plural_s


def said(day: date) -> str:
    """The date as it is written in British English: `3 May 2024`."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def read_date(text: str) -> date:
    """The date that `said` wrote."""
    day, month, year = text.split()
    return date(int(year), MONTHS.index(month) + 1, int(day))


def clock(minutes: int) -> str:
    """Minutes since midnight as `HH:MM`, going round at midnight."""
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def read_clock(text: str) -> int:
    """Minutes since midnight of `HH:MM`."""
    hour, minute = map(int, text.split(":"))
    if hour > 23 or minute > 59:
        raise ValueError(text)
    return hour * 60 + minute


def span(minutes: int) -> str:
    """A length of time in words: `2 hours and 5 minutes`."""
    hours, rest = divmod(minutes, 60)
    return joined([plural_s(n, unit) for n, unit in ((hours, "hour"), (rest, "minute")) if n]) or "0 minutes"


def any_day(rng: random.Random) -> date:
    """A day between 1950 and 2049."""
    return date(1950, 1, 1) + timedelta(days=rng.randrange(36500))


def _draw_day(rng: random.Random) -> Params:
    day = any_day(rng)
    later = day + timedelta(days=rng.randint(8, 200))
    words = {"event": rng.choice(EVENTS), "who": rng.choice(NAMES), "n": str(rng.randint(9, 120))}
    return words | {"date": said(day), "other": said(later), "weekday": rng.choice(WEEKDAYS)}


def _weekday(p: Params, _: str) -> str:
    day = read_date(p["date"])
    return f"{said(day)} {'was' if day.year < 2025 else 'is'} a {WEEKDAYS[day.weekday()]}."


def _add_days(p: Params, _: str) -> str:
    return f"It is {said(read_date(p['date']) + timedelta(days=int(p['n'])))}."


def _take_days(p: Params, _: str) -> str:
    return f"It is {said(read_date(p['date']) - timedelta(days=int(p['n'])))}."


def _days_between(p: Params, _: str) -> str:
    days = (read_date(p["other"]) - read_date(p["date"])).days
    return f"There are {plural_s(abs(days), 'day')} from {p['date']} to {p['other']}."


def _weekday_ahead(p: Params, _: str) -> str:
    n = int(p["n"])
    end = WEEKDAYS[(WEEKDAYS.index(p["weekday"]) + n) % 7]
    return f"{n} days are {plural_s(n // 7, 'week')} and {plural_s(n % 7, 'day')}, so it will be a {end}."


def _draw_times(rng: random.Random) -> Params:
    start, length = rng.randrange(6 * 12, 20 * 12) * 5, rng.randint(5, 46) * 5
    return {
        "start": clock(start), "end": clock(start + length), "length": span(length), "event": rng.choice(EVENTS),
        "who": rng.choice(NAMES),
    }  # fmt: skip


def read_span(text: str) -> int:
    """The minutes that `span` put into words."""
    found = re.fullmatch(r"(?:(\d+) hours?)?(?: and )?(?:(\d+) minutes?)?", text)
    if not found or not any(found.groups()):
        raise ValueError(text)
    return int(found[1] or 0) * 60 + int(found[2] or 0)


def _ends(p: Params, _: str) -> str:
    return f"It ends at {clock(read_clock(p['start']) + read_span(p['length']))}."


def _starts(p: Params, _: str) -> str:
    return f"It must begin at {clock(read_clock(p['end']) - read_span(p['length']))}."


def _lasts(p: Params, _: str) -> str:
    return f"It takes {span((read_clock(p['end']) - read_clock(p['start'])) % 1440)}."


def twelve_hour(text: str) -> str:
    """`HH:MM` as a time with am or pm."""
    minutes = read_clock(text)
    hour = minutes // 60
    return f"{(hour + 11) % 12 + 1}:{minutes % 60:02d} {'am' if hour < 12 else 'pm'}"


def _from_twelve(_: Params, text: str) -> str:
    time, half = text.split()
    hour, minute = map(int, time.split(":"))
    if half not in ("am", "pm") or not 1 <= hour <= 12 or not 0 <= minute <= 59:
        raise ValueError(text)
    return clock((hour % 12 + (12 if half == "pm" else 0)) * 60 + minute)


_FORMATS: dict[str, Callable[[date], str]] = {
    "year-month-day with digits, such as 2024-05-03": lambda d: d.isoformat(),
    "day.month.year with digits, such as 03.05.2024": lambda d: f"{d.day:02d}.{d.month:02d}.{d.year}",
    "month/day/year with digits, such as 05/03/2024": lambda d: f"{d.month:02d}/{d.day:02d}/{d.year}",
    "the American way in words, such as May 3, 2024": lambda d: f"{MONTHS[d.month - 1]} {d.day}, {d.year}",
}


def _month_length(p: Params, _: str) -> str:
    year, month = int(p["year"]), MONTHS.index(p["month"]) + 1
    return f"{p['month']} {year} has {monthrange(year, month)[1]} days."


def _weekly(p: Params, _: str) -> str:
    first = read_date(p["date"])
    if int(p["count"]) > 50:
        raise ValueError(p["count"])
    return joined([said(first + timedelta(days=int(p["step"]) * i)) for i in range(int(p["count"]))]) + "."


def _leap(_: Params, text: str) -> str:
    return "Leap year" if isleap(int(text)) else "Common year"


def _season(_: Params, text: str) -> str:
    month = read_date(text).month
    return ("Winter", "Spring", "Summer", "Autumn")[month % 12 // 3]


def _weekend(_: Params, text: str) -> str:
    return "Weekend" if read_date(text).weekday() > 4 else "Working day"


def _part_of_day(p: Params, text: str) -> str:
    return "Before" if read_clock(text) < read_clock(p["start"]) else "Not before"


FAMILIES = (
    Family(
        "weekday",
        wordings(
            "[On which|What] day of the week [was|is|falls] {date}?",
            "{who:word} was told that {event} took place on {date}. Which day of the week is that?",
            "Find the weekday of {date}.",
        ),
        _draw_day,
        _weekday,
    ),
    Family(
        "date_after",
        wordings(
            "Which date is {n:int} days after {date}?",
            "An invoice dated {date} must be paid within {n:int} days. What is the last day for it?",
            "{who:word} starts a course on {date} and the test is {n:int} days later. On what date is the test?",
        ),
        _draw_day,
        _add_days,
    ),
    Family(
        "date_before",
        wordings(
            "Invitations for {event} on {date} must go out {n:int} days earlier. [By which date|When] is that?",
            "Count back {n:int} days from {date} and [give|write] the date.",
        ),
        _draw_day,
        _take_days,
    ),
    Family(
        "days_between",
        wordings(
            "How many days are there from {date} to {other}?",
            "{who:word} borrowed a ladder on {date} and gave it back on {other}. For how many days was it away?",
            "Between {event} on {date} and the next meeting on {other}, how many days go by?",
        ),
        _draw_day,
        _days_between,
    ),
    Family(
        "weekday_ahead",
        wordings(
            "If today is {weekday:word}, what day of the week will it be in {n:int} days?",
            "{event} is {n:int} days from now and today is a {weekday:word}. On what weekday does it [fall|happen]?",
        ),
        lambda rng: {
            name: value[:1].upper() + value[1:] if name == "event" else value for name, value in _draw_day(rng).items()
        },
        _weekday_ahead,
    ),
    Family(
        "ends_at",
        wordings(
            "A [film|lecture|rehearsal|football match] starts at {start:time} and lasts {length}. At what time is it"
            " over?",
            "Doors for {event} open at {start:time} and the whole evening takes {length}. When does it end?",
            "{who:word} puts a [casserole|loaf|roast] into the oven at {start:time} for {length}. When is it done?",
        ),
        _draw_times,
        _ends,
    ),
    Family(
        "starts_at",
        wordings(
            "{event} must be finished at {end:time} and needs {length}. When should it begin?",
            "To be ready by {end:time}, {who:word} needs {length} of preparation. What is the latest time to start?",
        ),
        lambda rng: {
            name: value[:1].upper() + value[1:] if name == "event" else value
            for name, value in _draw_times(rng).items()
        },
        _starts,
    ),
    Family(
        "lasts",
        wordings(
            "A [train|bus|ferry] leaves at {start:time} and arrives at {end:time}. How long is the journey?",
            "{who:word} worked from {start:time} to {end:time} without a break. How much time is that in hours and"
            " minutes?",
        ),
        _draw_times,
        _lasts,
    ),
    Family(
        "to_twelve_hours",
        wordings(
            "[Rewrite|Write] a time from the 24-hour clock with am or pm.",
            "Our guests are used to am and pm. Convert the given 24-hour time for them.",
        ),
        lambda _: {},
        lambda _, text: twelve_hour(text),
        lambda _, rng: clock(rng.randrange(1440)),
    ),
    Family(
        "to_24_hours",
        wordings(
            "[Change|Convert] the time with am or pm to the 24-hour clock, as HH:MM.",
            "A timetable needs times such as 17:05. Convert this am or pm time to that form.",
        ),
        lambda _: {},
        _from_twelve,
        lambda _, rng: twelve_hour(clock(rng.randrange(1440))),
    ),
    Family(
        "date_format",
        wordings(
            "Rewrite the date as {form}.",
            "The dates in our register should all be written {form}. Change this one.",
            "Take the date you are given and write it {form}.",
        ),
        lambda rng: {"form": rng.choice(sorted(_FORMATS))},
        lambda p, text: _FORMATS[p["form"]](read_date(text)),
        lambda _, rng: said(any_day(rng)),
    ),
    Family(
        "month_length",
        wordings(
            "How many days does {month:word} {year:int} have?",
            "Tell me the number of days in {month:word} of the year {year:int}.",
        ),
        lambda rng: {"month": rng.choice(MONTHS), "year": str(rng.randint(1900, 2100))},
        _month_length,
        weight=0.4,
    ),
    Family(
        "repeating_dates",
        wordings(
            "A [choir|chess club|language class] meets every {step:int} days, first on {date}. List the first"
            " {count:int}"
            " dates.",
            "{who:word} must water the ferns every {step:int} days, starting with {date}. Write down the first"
            " {count:int}"
            " watering dates.",
        ),
        lambda rng: (
            _draw_day(rng) | {"step": str(rng.choice((3, 4, 5, 7, 10, 14, 21))), "count": str(rng.randint(3, 6))}
        ),
        _weekly,
    ),
    Family(
        "leap_year",
        wordings(
            "Decide whether the year is a leap year or a common year. Answer Leap year or Common year.",
            "Does the given year have a 29 February? Answer with Leap year if it has and with Common year if not.",
        ),
        lambda _: {},
        _leap,
        lambda _, rng: str(rng.choice((rng.randint(1800, 2100), rng.randint(450, 525) * 4, rng.randint(17, 24) * 100))),
        lambda _: ("Leap year", "Common year"),
    ),
    Family(
        "season",
        wordings(
            "To which season does the date belong in the northern hemisphere, counting whole months from December as"
            " winter? Choose Winter, Spring, Summer or Autumn.",
            "Label the date with its season (Winter is December to February, Spring March to May, Summer June to"
            " August,"
            " Autumn September to November).",
        ),
        lambda _: {},
        _season,
        lambda _, rng: said(any_day(rng)),
        lambda _: ("Winter", "Spring", "Summer", "Autumn"),
    ),
    Family(
        "weekend",
        wordings(
            "Does the date fall on a weekend? Say Weekend for Saturday or Sunday, otherwise Working day.",
            "Sort dates into Weekend (Saturday and Sunday) and Working day (Monday to Friday).",
        ),
        lambda _: {},
        _weekend,
        lambda _, rng: said(any_day(rng)),
        lambda _: ("Weekend", "Working day"),
    ),
    Family(
        "before_time",
        wordings(
            "Our [office|shop|surgery|museum] opens at {start:time}. Is the given time before that? Answer Before or"
            " Not"
            " before.",
            "Label a time of day as Before if it is earlier than {start:time}, else as Not before.",
        ),
        lambda rng: {"start": clock(rng.randrange(7 * 12, 20 * 12) * 5)},
        _part_of_day,
        lambda p, rng: clock((read_clock(p["start"]) + rng.choice((-1, 1)) * rng.randint(1, 360)) % 1440),
        lambda _: ("Before", "Not before"),
    ),
)
