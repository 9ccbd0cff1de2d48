"""Answers that go round in circles, that stop in the middle, or that only say the question again."""

from __future__ import annotations

from collections import Counter
from operator import eq

import regex
from rapidfuzz.distance import LCSseq

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.labels import stated_labels
from selfinstruct.checks.word_lists import any_of, languages, words
from selfinstruct.checks.wording import comparable, excerpt, quoted
from selfinstruct.similarity.tokens import tokenize
from selfinstruct.types import Instance, Task

LONGEST_UNIT = 40
"""Words of the longest piece whose repeating in a row is looked for."""
TIMES = 4
"""A piece of three words and more that stands this often in a row is a loop; a shorter one, twice as often."""

_CODE = regex.compile(r"```|^[ \t]*[|+].*[|+][ \t]*$|[{};][ \t]*$|</\w+>", regex.MULTILINE)
_ITEM = regex.compile(r"^\s*(?:\d{1,3}[.)、]|[-*•])\s*")
_WORD = regex.compile(r"\p{L}{2,}|\p{Han}")

_MATERIAL = regex.compile(
    r"[:：]\s.*|\n.*|\"[^\"]*\"|“[^“”]*”|‘[^‘’]*’|「[^「」]*」|『[^『』]*』|《[^《》]*》|«[^«»]*»|`[^`]*`|'[^']{3,}'",
    regex.DOTALL,
)
_EXPLAINS = regex.compile(
    r"\W*(?:please\s+|can\s+you\s+)?(?:explain|interpret|paraphrase|translate|what\s+does|what\s+is\s+meant|what\s+do\s+you\s+think)\b",
    regex.IGNORECASE,
)
_REPHRASES = regex.compile(
    r"^\W*(?:please\s+)?(?:repeat|echo|copy|rewrite|rephrase|paraphrase|reword|restate|say|translate|convert|turn|change|correct"
    rf"|edit|fix|punctuate|capitali[sz]e|reverse|rearrange|type|print)\b|{any_of('rephrases')}",
    regex.IGNORECASE,
)
_MAY_AFFIRM = regex.compile(
    r"\W*(?:(?:please\s+)?(?:tell\s+me|say|decide|determine|state|check)\s+(?:if|whether)\s+)?(?:is|are|was|were|am|do|does|did|can|could"
    r"|will|would|shall|should|has|have|had|may|might|must|ist|sind|hat|haben|kann|est|es|are|son)\b|.*[吗嗎]|.*\bor\b",
    regex.IGNORECASE | regex.DOTALL,
)
_SAID_AGAIN = frozenset(tokenize(languages()["en"]["said_again"]))

_STOPS = regex.compile(r"[,，、]$|(?<![\w)])[;；]$")
_HARD_END = regex.compile(
    r"[\p{L}\p{N},'’\"”)]\s+(?P<word>the|an|and|or|nor|your|my|their|our|than|whose|because|into|such\s+as|which\s+is|is\s+a|of\s+the"
    r"|to\s+the|in\s+the|und|oder|weil|et\s+les|et\s+la|y\s+los|y\s+la)$"
)
_HAN_END = regex.compile(r"\p{Han}{8,}[^。！？\n]*(?:以及|或者|并且|因为|例如|比如|包括)$")
_MAY_STOP = regex.compile(
    rf"^\W*(?:please\s+)?(?:complete|continue|finish|fill|extend|go\s+on)\b|{any_of('may_stop')}", regex.IGNORECASE
)


def max_repetition(task: Task, instance: Instance) -> Fault | None:
    """`repetition` for an output that says the same again and again, unless it was asked to.

    A piece of 3 to 40 words four times in a row, one or two words eight times, or a text of eight lines and more half
    of which stand there before. Code, tables, verse and songs are left alone.
    """
    found = _lines_again(instance.output) or _words_again(instance.input, instance.output)
    if found is None or words("may_repeat").search(task.instruction) or _CODE.search(instance.output):
        return None
    return reject("repetition", found)


def loop(text: str) -> Fault | None:
    """`repetition` for an instruction with a piece of 3 to 40 words four times in a row, or one or two words eight."""
    found = _words_again("", text)
    return reject("repetition", found) if found else None


def _lines_again(output: str) -> str | None:
    """How often the most frequent line stands in a text, if half of its lines stand there before."""
    raw = output.splitlines()
    lines = [line for one in raw if len(line := comparable(_ITEM.sub("", one))) > 8] if len(raw) >= 8 else []
    counts = Counter(lines)
    if len(lines) < 8 or 2 * len(counts) > len(lines):
        return None
    line, number = counts.most_common(1)[0]
    return f"{number} times: {excerpt(line)}"


def _words_again(given: str, output: str) -> str | None:
    """How often a piece of an output stands in a row, unless it does in the input."""
    found = _loop(tokenize(output))
    if found is None:
        return None
    unit, number = found
    said = " ".join(unit)
    if not _WORD.search(said) or " ".join(unit * 3) in " ".join(tokenize(given)):
        return None
    return f"{number} times in a row: {excerpt(said)}"


def _loop(tokens: tuple[str, ...]) -> tuple[tuple[str, ...], int] | None:
    """The shortest piece that follows itself too often, and how often it stands in a row."""
    if max(Counter(zip(tokens, tokens[1:], tokens[2:], strict=False)).values(), default=0) < TIMES:
        return None  # in whatever stands so often in a row, some three tokens do
    for length in range(1, min(LONGEST_UNIT, len(tokens) // TIMES) + 1):
        wanted = TIMES if length > 2 else 2 * TIMES
        same = bytes(map(eq, tokens, tokens[length:]))  # 1 where the token stands again, `length` later
        start = same.find(b"\1" * ((wanted - 1) * length))
        if start >= 0:
            end = same.find(b"\0", start)
            run = (end if end >= 0 else len(same)) - start
            return tokens[start : start + length], run // length + 1
    return None


_AROUND = ': \n"“”.'


def restated_question(task: Task, instance: Instance) -> Fault | None:
    """`restated_question` for an output that is the instruction over again, whole or nearly, and adds nothing.

    What the instruction quotes, or gives after a colon, is material and does not count, unless it was to be explained
    or translated. "Penguins live in Antarctica." may answer a question for yes or no.
    """
    if _EXPLAINS.match(task.instruction) and (said_again := _quoted_again(task.instruction, instance.output)):
        return reject("restated_question", quoted(said_again))
    said = tokenize(instance.output)
    if len(said) < 4 or len(said) > 2 * len(tokenize(task.instruction)):
        return None
    command = _MATERIAL.sub(" ", task.instruction)
    asked = tokenize(command)
    core = [token for token in said if token not in _SAID_AGAIN]
    if len(core) < 3 or len(said) > 2 * len(asked) or not set(core) <= set(asked) or _REPHRASES.search(command):
        return None
    wanted = [token for token in asked if token not in _SAID_AGAIN]
    if len(core) < 0.6 * len(wanted) or LCSseq.similarity(core, wanted) < 0.9 * len(core):
        return None
    if _MAY_AFFIRM.match(command.strip()) and not instance.output.rstrip().endswith(("?", "？")):
        return None
    return reject("restated_question", quoted(instance.output))


def _quoted_again(instruction: str, output: str) -> str | None:
    """What an instruction quotes or gives after a colon, if the output is just that and more than a few words.

    With other capitals or spaces it may be the answer.
    """
    said = output.strip(_AROUND)
    material = (found[0].strip(_AROUND) for found in _MATERIAL.finditer(instruction))
    return next((one for one in material if len(tokenize(one)) > 5 and one == said), None)


def loose_end(task: Task, instance: Instance) -> Fault | None:
    """`cut_off` for prose of eight words and more that ends with a comma, an article or a conjunction.

    Verse, code, lists of values and texts that were to be completed are left alone.
    """
    text = instance.output.rstrip()
    last = text.splitlines()[-1] if text else ""
    stops = _STOPS.search(text[-10:]) if len(tokenize(last)) > 6 else None
    if not (stops or _HARD_END.search(text[-100:]) or _HAN_END.search(text[-40:])):
        return None
    if len(tokenize(text)) < 8 or text in instance.input or _CODE.search(text) or _MAY_STOP.search(task.instruction):
        return None
    return reject("cut_off", f"ends {quoted(text[-40:])}")


def unstated_label(task: Task, instance: Instance) -> Fault | None:
    """`label_outside_set` for an output that has none of the words which the instruction wants it to be one of.

    For tasks that nobody called a classification; those of the others are compared with their labels in any case.
    """
    asks = _ANSWER_WITH.search(task.instruction)
    labels = () if task.is_classification or asks is None else stated_labels(task.instruction)
    if not labels:
        return None
    said = comparable(instance.output)
    if any(comparable(label) in said for label in labels):
        return None
    return reject("label_outside_set", f"{quoted(instance.output, 40)} is none of: {excerpt(', '.join(labels))}")


_ANSWER_WITH = regex.compile(
    r"\b(?:answer|respond|reply|output|return|classify|label|categori[sz]e)\b[^.:?!]{0,60}?"
    r"\b(?:with|only|just|either|as|yes|true|one\s+of)\b|回答[“「\"]?(?:是|对|只)|只回答|判断",
    regex.IGNORECASE,
)
