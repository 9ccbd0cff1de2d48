"""Self-Instruct's own four steps, for base models: prompts that a text completion goes on with, and their reading.

Wang et al. 2022, sections 2.2 and 2.3: propose instructions; say which are classifications; give instances, input first
for generation and label first for classification. The answers of base models are loose in form, so the reading is
lenient about markers, strict about what it takes for an output, and drops nothing: every piece becomes a candidate or a
rejection.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from selfinstruct.ask import Ask
from selfinstruct.checks.faults import reject, reject_piece
from selfinstruct.recipes.fitting import fitted
from selfinstruct.recipes.templates import fill
from selfinstruct.settings import Settings
from selfinstruct.types import (
    PROPOSE,
    Api,
    Candidate,
    Completion,
    Instance,
    InstanceCandidate,
    Message,
    Prompt,
    Rejection,
    Request,
    Task,
    Written,
)

CLASSIFY = "classify"
INSTANCES = "instances"
STAGES = (PROPOSE, CLASSIFY, INSTANCES)
API: Api = "completions"

DEFAULT_SAMPLING: Mapping[str, Mapping[str, Any]] = {
    PROPOSE: {
        "temperature": 0.7,
        "top_p": 0.5,
        "presence_penalty": 2,
        "max_tokens": 1024,
        "stop": ["\n\n", "\n16.", "\n16)", "\n16:"],
    },
    CLASSIFY: {"temperature": 0, "max_tokens": 3, "stop": ["\n", "Task"]},
    INSTANCES: {"temperature": 0, "presence_penalty": 1.5, "max_tokens": 350, "stop": ["Example 6", "\nTask:"]},
}
"""The paper's parameters, with stop strings that cannot cut "2016." or "$16." in two."""

CUT = frozenset({"length", "content_filter"})
"""Finish reasons after which the last piece of an answer is not whole."""

_GENERATION_SHOWN, _CLASSIFICATION_SHOWN = 12, 8
"""Examples in a classify prompt."""
_WITH_INPUT_SHOWN, _WITHOUT_INPUT_SHOWN = 5, 3
"""Examples in an instances prompt; either kind fills up for the other."""
_INSTANCES_SHOWN = 3
"""At most, of one example."""
_LONG_EXAMPLE = 1000
"""Characters; longer examples are shown only where shorter ones are too few."""

_REACH = 10
"""How far the numbering of a list may jump ahead at the start of a line."""


def _marker(words: str) -> re.Pattern[str]:
    """A field name at the start of a line, as loosely as models write it. Bounded, so that no text makes it slow."""
    return re.compile(
        rf"^[ \t#*_\-]{{0,12}}(?:{words})[ \t]{{0,3}}\d{{0,3}}[ \t]{{0,3}}(?:\*\*)?[:：](?:\*\*)?",
        re.IGNORECASE | re.MULTILINE,
    )


_TASK = _marker("task")
_INPUT = _marker("input")
_OUTPUT = _marker("output")
_LABEL = _marker(r"(?:class[ \t]{0,3})?label")
_ANY_MARKER = _marker(r"task|example|input|output|(?:class[ \t]{0,3})?label")
_INLINE_INPUT = re.compile(r"\bInput[ ]?\d{0,3}:")
_INLINE_OUTPUT = re.compile(r"\bOutput[ ]?\d{0,3}:")
_EXAMPLE = re.compile(
    r"^[ \t#*_\-]{0,12}example(?:"
    r"[ \t]{0,3}\d{1,3}(?:[.:：)]|(?=[*_ \t]{0,8}$)|(?=[ \t]{1,8}(?:input|output|class|label)))"
    r"|[.:：]?(?=[*_ \t]{0,8}$)"
    r")[*_]{0,2}",
    re.IGNORECASE | re.MULTILINE,
)
_FIELD = re.compile(r"\s*(?P<name>[^\W\d_][^\W_]*(?:[ \t][^\W_]+){0,4}?)[ \t]{0,3}\d{0,3}[ \t]{0,3}[:：]")
_LINE_NUMBER = re.compile(
    r"^[ \t#>*_\-]{0,12}\(?(?:(?:task|instruction)[ \t]{0,3})?#?(?P<number>\d{1,3})(?:\*\*)?"
    r"[ \t]?(?:[.:．：](?!\d)|[)）、])(?:\*\*)?",
    re.IGNORECASE | re.MULTILINE,
)
_INLINE_NUMBER = re.compile(
    r"(?<=[.!?\"'”’)\]])[ \t]{1,8}\(?(?P<number>\d{1,3})[.)](?=[ \t]{1,8}\D)"
    r"|(?<=[。！？；])[ \t]{0,8}(?P<other>\d{1,3})[.)．）、](?!\d)"
)
_BULLET = re.compile(r"^[ \t]{0,12}[-*•–—](?=[ \t])", re.MULTILINE)
_ITEM_LABEL = re.compile(r"^(?:[-*•–—] )*(?:\*\*)?(?:(?:task|instruction)(?:\*\*)?: ?)?(?:\*\*)?", re.IGNORECASE)
_YES_OR_NO = re.compile(r"\W*(?:fixed labels\W*)?(yes|no)\b", re.IGNORECASE)
_NO_INPUT = frozenset(
    {"noinput", "no input", "none", "n/a", "not applicable", "no input needed", "no input required"}
    | {"no input is needed", "no input is required", "no input necessary"}
)
_PAIRS = (("“", "”"), ("„", "“"), ("«", "»"), ("「", "」"), ("『", "』"))
_QUOTES = (('"', '"'), *_PAIRS, ("‘", "’"), ("'", "'"))


# --- asking ---------------------------------------------------------------------------------------------------------


def propose(
    settings: Settings, demonstrations: Sequence[Task], index: int, topic: str | None, verbs: Sequence[str] = ()
) -> Prompt:
    """A numbered list of demonstrations that the model is to go on with, with words to begin with said before it."""
    shown = [_one_line(task.instruction).rstrip(" :：") for task in demonstrations]
    text = fill(
        settings.prompts["propose"],
        {
            "guidance": _one_line(settings.recipe.guidance),
            "topic": _one_line(topic or ""),
            "verbs": ", ".join(verb.capitalize() for verb in verbs),
            "demonstrations": "\n".join(f"{number}. {line}" for number, line in enumerate(shown, 1)),
            "number": str(len(shown) + 1),
        },
    )
    return Prompt(PROPOSE, index, _words(text.rstrip()), demonstrations=tuple(task.id for task in demonstrations))


def _classify(task: Task, settings: Settings, examples: Sequence[Task]) -> Prompt:
    generator = random.Random(f"{settings.seed}/{CLASSIFY}")
    known = [(example.is_classification, _one_line(example.instruction)) for example in examples]
    shown = _some(generator, [line for line in known if line[0] is False], _GENERATION_SHOWN)
    shown += _some(generator, [line for line in known if line[0] is True], _CLASSIFICATION_SHOWN)
    generator.shuffle(shown)
    blocks = [f"Task: {line}\nFixed labels: {'yes' if is_label else 'no'}" for is_label, line in shown]
    return _about(task, settings, CLASSIFY, CLASSIFY, blocks)


def _instances(task: Task, settings: Settings, examples: Sequence[Task], *, is_classification: bool) -> Prompt:
    form = "instances_output_first" if is_classification else "instances_input_first"
    generator = random.Random(f"{settings.seed}/{form}")
    with_input: list[tuple[int, str]] = []
    without: list[tuple[int, str]] = []
    for example in examples:
        if bool(example.is_classification) is is_classification:
            usable = [one for one in example.instances if _is_usable(one)]
            given = [one for one in usable if one.input.strip()]
            if given:
                with_input.append(_labelled(example, given) if is_classification else _worked(example, given))
            elif usable:
                without.append(_labelled(example, usable) if is_classification else _direct(example, usable))
    wanted = _WITH_INPUT_SHOWN + _WITHOUT_INPUT_SHOWN
    enough = max(_WITH_INPUT_SHOWN, wanted - len(without))
    shown = _best(generator, with_input, enough)
    shown += _best(generator, without, wanted - len(shown))
    generator.shuffle(shown)
    return _about(task, settings, INSTANCES, form, shown)


def _about(task: Task, settings: Settings, stage: str, template: str, blocks: Sequence[str]) -> Prompt:
    def prompt(shown: Sequence[str]) -> Prompt:
        examples = "".join(f"{block}\n\n" for block in shown)
        values = {"examples": examples, "instruction": _one_line(task.instruction)}
        end = "\n" if stage == INSTANCES else ""
        return Prompt(stage, 0, _words(fill(settings.prompts[template], values).rstrip() + end))

    return fitted(blocks, len, prompt, settings)


def _worked(example: Task, instances: Sequence[Instance]) -> tuple[int, str]:
    shown = [
        f"Example {number}\nInput: {one.input.strip()}\nOutput: {one.output.strip()}"
        for number, one in enumerate(instances[:_INSTANCES_SHOWN], 1)
    ]
    return len(shown), f"Task: {_one_line(example.instruction)}\n" + "\n\n".join(shown)


def _direct(example: Task, instances: Sequence[Instance]) -> tuple[int, str]:
    return 1, f"Task: {_one_line(example.instruction)}\nOutput: {instances[0].output.strip()}"


def _labelled(example: Task, instances: Sequence[Instance]) -> tuple[int, str]:
    """Different labels first, since showing the choice is the point of this form."""
    first_of_label = {one.output.strip(): one for one in reversed(instances)}
    ordered = sorted(instances, key=lambda one: one is not first_of_label[one.output.strip()])
    if not ordered[0].input.strip():
        ordered = ordered[:1]
    shown = [
        f"Class label: {_one_line(one.output)}" + (f"\nInput: {one.input.strip()}" if one.input.strip() else "")
        for one in ordered[:_INSTANCES_SHOWN]
    ]
    return len(shown), f"Task: {_one_line(example.instruction)}\n" + "\n\n".join(shown)


def _is_usable(instance: Instance) -> bool:
    """Has an output, and holds no line that would be taken for a part of the form."""
    return bool(instance.output.strip()) and not (_ANY_MARKER.search(instance.input + "\n" + instance.output))


def _some(generator: random.Random, among: list[tuple[bool | None, str]], most: int) -> list[tuple[bool | None, str]]:
    return generator.sample(among, min(most, len(among)))


def _best(generator: random.Random, blocks: list[tuple[int, str]], most: int) -> list[str]:
    """Drawn at random, but short ones before long ones and those with several instances before the others."""
    drawn = generator.sample(blocks, len(blocks))
    drawn.sort(key=lambda block: (max(len(block[1]), _LONG_EXAMPLE), block[0] < 2))
    return [text for _, text in drawn[:most]]


def _words(text: str) -> tuple[Message, ...]:
    return (Message("prompt", text),)


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- reading proposals ----------------------------------------------------------------------------------------------


def read_proposals(request: Request, completion: Completion, settings: Settings) -> list[Candidate | Rejection]:
    """The instructions of a completed list, in order; of an answer that was cut, the last one is rejected."""
    ended = re.search(r"(\d{1,4})[.)]\s*$", request.messages[-1].content) if request.messages else None
    first = int(ended[1]) if ended else settings.recipe.demonstrations + 1
    preamble, items = _split_list(completion.text, first) if completion.kind == "answer" else ("", [])
    pieces = [*([preamble] if preamble else []), *(item for item in items if item)]
    # An answer cut right after a number has lost nothing of the item before it.
    cut = len(pieces) - 1 if completion.finish_reason in CUT and items and items[-1] else None

    def rejected(position: int, text: str, reason: str, evidence: str) -> Rejection:
        return reject_piece(completion, position, text, reject(reason, evidence))

    if not pieces:
        return [rejected(0, completion.text, "unreadable", _why_empty(completion))]
    read: list[Candidate | Rejection] = []
    for position, text in enumerate(pieces):
        if preamble and position == 0:
            read.append(rejected(position, text, "unreadable", "words before the first number of the list"))
        elif position == cut:
            evidence = f"the last item of an answer that ended with {completion.finish_reason!r}"
            read.append(rejected(position, text, "cut_off", evidence))
        else:
            read.append(Candidate(completion.request_id, position, text, source=completion.source))
    return read


def _split_list(text: str, first: int) -> tuple[str, list[str]]:
    """The words before the list, if any, and its items; an item is "" where a number has no text.

    The text goes on after the number `first`. A number counts at the start of a line if it does not go back (else it
    belongs to a list within an item), and within a line if it is exactly the next and follows the end of a sentence.
    """
    text = text.replace("\r\n", "\n").strip()
    marks: list[re.Match[str]] = []
    number, opened = first, None
    found = [*_LINE_NUMBER.finditer(text), *_INLINE_NUMBER.finditer(text)]
    for mark in sorted(found, key=lambda match: match.start()):
        at_line_start = mark.re is _LINE_NUMBER
        value = int(mark[mark.lastgroup or 0])
        opens = mark.start() == 0
        if opens or (number <= value <= number + _REACH if at_line_start else value == number + 1):
            number = value
            opened = value if opened is None else opened
            marks.append(mark)
    if not marks and _BULLET.match(text):
        marks = list(_BULLET.finditer(text))
    head = text[: marks[0].start()] if marks else text
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    items = [_clean(text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)] if marks else []
    if not head.strip():
        return "", items
    if opened == first and head.rstrip().endswith((":", "：")):
        return _one_line(head), items
    return "", [_clean(head), *items]


def _clean(text: str) -> str:
    """An item on one line, without bullets, a label before it, and stray quotes around it."""
    line = _one_line(text)
    line = _ITEM_LABEL.sub("", line, count=1).strip()
    line = line.removesuffix("**").rstrip() if line.count("**") == 1 else line
    return _without_stray_quotes(line)


def _without_stray_quotes(line: str) -> str:
    for left, right in _QUOTES:
        inner = line[1:-1]
        if len(line) > 2 and line[0] == left and line[-1] == right and left not in inner and right not in inner:
            return inner.strip()
    for left, right in (('"', '"'), *_PAIRS):  # not single ones: an apostrophe may belong to the word
        if (line.count('"') == 1) if left == right else (line.count(left) + line.count(right) == 1):
            line = line.removeprefix(left).removesuffix(right).strip()
    return line


# --- reading follow-ups ---------------------------------------------------------------------------------------------


async def write_instances(task: Task, ask: Ask, settings: Settings, examples: Sequence[Task]) -> Written:
    """The instances of a task, after it was said whether it is a classification.

    `examples` are the pool's seeds; the same ones are shown for every task, so that prompts share their beginning.
    """
    is_classification = bool(task.is_classification)
    rejections: tuple[Rejection, ...] = ()
    if task.is_classification is None:
        label = await ask(_classify(task, settings, examples))
        said = _YES_OR_NO.match(label.text) if label.kind == "answer" else None
        if said is None:
            evidence = "neither yes nor no" if label.kind == "answer" else _why_empty(label)
            rejections = (reject_piece(label, 0, label.text, reject("no_label", evidence), task),)
        is_classification = said is not None and said[1].lower() == "yes"
    answer = await ask(_instances(task, settings, examples, is_classification=is_classification))
    candidates, unread = read_instances(task, answer, is_classification=is_classification)
    return Written(is_classification, candidates, rejections + unread)


def read_instances(
    task: Task, completion: Completion, *, is_classification: bool
) -> tuple[tuple[InstanceCandidate, ...], tuple[Rejection, ...]]:
    """The instances of an answer and its unreadable pieces; together at least one, positions in the order of the text.

    The last candidate of an answer that was cut carries the finish reason.
    """
    pieces = _pieces(completion.text, is_classification=is_classification) if completion.kind == "answer" else []
    if not pieces:
        return (), (reject_piece(completion, 0, completion.text, reject("unreadable", _why_empty(completion)), task),)
    candidates: list[InstanceCandidate] = []
    rejections: list[Rejection] = []
    wanted = "Class label:" if is_classification else "Output:"
    for position, piece in enumerate(pieces):
        ended = completion.finish_reason if position == len(pieces) - 1 else "stop"
        if isinstance(piece, tuple):
            candidates.append(
                InstanceCandidate(
                    completion.request_id, position, *piece, finish_reason=ended, source=completion.source
                )
            )
        elif ended in CUT:
            evidence = f"the last piece of an answer that ended with {ended!r}"
            rejections.append(reject_piece(completion, position, piece, reject("cut_off", evidence), task))
        else:
            evidence = f'no part of it is marked "{wanted}"'
            rejections.append(reject_piece(completion, position, piece, reject("unreadable", evidence), task))
    return tuple(candidates), tuple(rejections)


_Piece = tuple[str, str] | str
"""An (input, output), or text that is neither."""


def _pieces(text: str, *, is_classification: bool) -> list[_Piece]:
    text = text.replace("\r\n", "\n").strip()
    pieces: list[_Piece] = []
    if _TASK.match(text):  # the model says the task once more before it does it
        echo, _, text = text.partition("\n")
        pieces.append(echo)
    another = _TASK.search(text)
    body, rest = (text[: another.start()], text[another.start() :]) if another else (text, "")
    labels_first = is_classification and _LABEL.search(body) is not None
    for part in _EXAMPLE.split(body):
        if part.strip():
            pieces += _labels_first(part) if labels_first else _inputs_first(part, _OUTPUT)
    return [*pieces, rest.strip()] if rest.strip() else pieces


def _inputs_first(part: str, answer_marker: re.Pattern[str]) -> list[_Piece]:
    """The instances of one example: what precedes an answer is its input, under whatever field names.

    Another input begins a new instance. A second answer without one goes on with the first, unless it only repeats it.
    """
    outputs, inputs = list(answer_marker.finditer(part)), list(_INPUT.finditer(part))
    if not outputs:
        outputs, inputs = list(_INLINE_OUTPUT.finditer(part)), list(_INLINE_INPUT.finditer(part))
    if not outputs:
        return [part.strip()]
    field = _FIELD.match(part[: outputs[0].start()])
    if field and field["name"].lower() != "input":
        # The example's own field name ("Sentence:") begins another input too, if another answer follows.
        again = _marker(re.escape(field["name"])).finditer(part, 0, outputs[-1].start())
        inputs += [mark for mark in again if not _INPUT.match(mark.group())]
    marks = sorted([(*mark.span(), True) for mark in outputs] + [(*mark.span(), False) for mark in inputs])
    pieces: list[_Piece] = []
    question, answers = part[: marks[0][0]], list[str]()
    for (start, end, is_output), following in zip(marks, [mark[0] for mark in marks[1:]] + [len(part)], strict=True):
        if is_output:
            answers.append(part[end:following].strip())
        elif answers:
            pieces.append((_clean_input(question), _joined(answers)))
            question, answers = part[start:following], []
        else:
            question += part[start:following]
    if answers:
        return [*pieces, (_clean_input(question), _joined(answers))]
    return [*pieces, question.strip()]


def _labels_first(part: str) -> list[_Piece]:
    """The instances of a classification: a label on its line, then its input up to the next label."""
    labels = list(_LABEL.finditer(part))
    if not labels:
        return [part.strip()]
    head = part[: labels[0].start()].strip()
    last = part[labels[-1].end() :].strip()
    if _FIELD.match(head) and not head.endswith((":", "：")) and "\n" not in last:
        return _inputs_first(part, _LABEL)  # the other way round: taken as it stands, labels would get wrong inputs
    pieces: list[_Piece] = [head] if head else []
    for mark, following in zip(labels, [mark.start() for mark in labels[1:]] + [len(part)], strict=True):
        label, _, rest = part[mark.end() : following].partition("\n")
        if not label.strip():
            line, _, behind = rest.lstrip().partition("\n")
            label, rest = (label, rest) if _FIELD.match(line) else (line, behind)
        pieces.append((_clean_input(rest), label.strip()))
    return pieces


def _joined(answers: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(answer for answer in answers if answer))


def _clean_input(text: str) -> str:
    """Without the one "Input:" before it, and empty where it only says that there is none."""
    text = text.strip()
    marks = list(_INPUT.finditer(text)) or list(_INLINE_INPUT.finditer(text))
    if len(marks) == 1 and marks[0].start() == 0:
        text = text[marks[0].end() :].strip()
    return "" if _one_line(re.sub(r"[^\w/]", " ", text)).casefold() in _NO_INPUT else text


def _why_empty(completion: Completion) -> str:
    if completion.kind == "failed":
        return f"the request failed: {completion.finish_reason}"
    return "the answer is empty" if not completion.text.strip() else "nothing in the answer can be read"
