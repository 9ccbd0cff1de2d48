"""Outputs that were asked for in a form which a parser can check: JSON, Python, XML, YAML, TOML."""

from __future__ import annotations

import ast
import json
import tomllib
import warnings
from collections.abc import Callable

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.word_lists import words
from selfinstruct.checks.wording import excerpt, may_hold, quoted
from selfinstruct.types import Instance, Task

LONGEST = 50_000
"""Characters; longer texts are not parsed, and nothing is said of them."""
LONGEST_SLOW = 10_000
"""The same for YAML and TOML, whose parsers take seconds for what is meant to make them slow."""

_FENCE = regex.compile(r"[ \t]*(?P<fence>```|~~~)[ \t]*(?P<language>[\w+#.-]*)")
_ANSWER_AS = (
    r"(?:\b(?:as|in|into|to|using|with)\s+(?:an?\s+|the\s+|one\s+|plain\s+|raw\s+|single\s+|valid\s+|well-formed\s+|compact\s+"
    r"|flat\s+|nested\s+|strict\s+|proper\s+|minified\s+|simple\s+|small\s+|equivalent\s+){{0,4}}{name}\b"
    r"|\b(?:answer|reply|respond|output|return|give|produce|write|create|generate|make|build|provide|print)\s+"
    r"(?:(?:me|only|just|back|an?|the|one|valid|well-formed|compact|flat|nested|single|raw|simple|small|plain|strict)\s+){{0,4}}"
    r"{name}\b|(?:以|用|成|为|输出|返回|转换?成|转为|转换为)\s*(?:一个|合法的?|有效的?)?\s*{name}"
    r"|\b(?:als|en|im|au|in)\s+(?:format\s+)?{name}\b)"
)
_FROM = (
    r"(?:\bfrom\s+{name}\b|\b(?:this|that|these|following|given|above|below)\s+(?:\w+\s+)?{name}\b|\binput\s+{name}\b"
    r"|\b{name},?\s+or\b|\bor\s+(?:\w+\s+)?{name}\b)"
)


def _asks_for(name: str) -> Callable[[str], bool]:
    """Whether an instruction wants its answer in the form of this name, beyond doubt."""
    names = regex.compile(name, regex.IGNORECASE)  # most instructions are done with that
    wants = regex.compile(_ANSWER_AS.format(name=name), regex.IGNORECASE)
    reads = regex.compile(_FROM.format(name=name), regex.IGNORECASE)

    def asks(instruction: str) -> bool:
        is_asked = names.search(instruction) and wants.search(instruction) and not reads.search(instruction)
        return bool(is_asked) and not words("about_forms").search(instruction)

    return asks


_ASKS = {name: _asks_for(name) for name in ("JSON", "XML", "YAML", "TOML")}
_ASKS_PYTHON = regex.compile(
    r"\b(?:write|create|implement|define|code|develop|give|provide|build|make|design|rewrite|refactor|translate|convert|port)\b"
    r"[^.\n]{0,80}\bPython(?:\s*3)?\b(?!\s*2)"
    r"|\b(?:in|into|using)\s+Python\b|用\s*Python|Python\s*(?:函数|代码|程序|脚本)",
    regex.IGNORECASE,
)
_CODE_LINE = regex.compile(
    r"^(?:def\s+\w+\s*\(|class\s+\w+\s*[:(]|import\s+\w+|from\s+[\w.]+\s+import\b|@\w+|async\s+def\s|if\s+__name__\b)",
    regex.MULTILINE,
)
_PLAINLY_PYTHON = regex.compile(
    r"\s*+(?:(?:import\s+[\w.]+|from\s+[\w.]+\s+import\s+[\w, ]+)[ \t]*\n\s*+)*+(?:@[\w.]+(?:\([^\n]*\))?[ \t]*\n\s*+)?"
    r"(?:async\s+)?(?:def\s+\w+\s*\([^\n]*\)\s*(?:->[^\n]+)?|class\s+\w+\s*(?:\([\w., ]*\))?)\s*:[ \t]*(?:#[^\n]*)?\n"
)
"""From its first line on an answer is Python and no other language."""
_PROSE = regex.compile(r"[\p{Lu}\p{Han}][^=\[\]{}]*[\p{L}\d`'\")][.!?:。：]?", regex.DOTALL)
_PROMPTS = regex.compile(r"^[ \t]*(?:>>>|\.\.\.|In\s*\[\d+\]:|\$|%\w|!\w)", regex.MULTILINE)
_PREFIXES = regex.compile(r"(?:[-+~]\s*|not\s+|await\s+|lambda[^:\n]{0,40}:\s*){300}")
"""This many may exhaust the stack of the parser's thread; other nesting it refuses by itself."""
_BRACKETS = regex.compile(r"(?:[\[{]\s*){100}")
_ELISION = regex.compile(r"^[ \t]*(?:\.\.\.|…|#[ \t]*\.\.\.)[ \t]*$", regex.MULTILINE)


def _fenced(output: str) -> list[tuple[str, str]]:
    """(language, text) of the code blocks in an output, found in one pass: a fence that nothing closes is text."""
    lines = output.split("\n")
    last = {line.strip(): place for place, line in enumerate(lines)}
    blocks: list[tuple[str, str]] = []
    fence, language, begin = "", "", 0
    for place, line in enumerate(lines):
        if fence and line.strip() == fence:
            blocks.append((language, "".join(f"{one}\n" for one in lines[begin:place])))
            fence = ""
        elif not fence and (found := _FENCE.match(line)) and last.get(found["fence"], 0) > place:
            fence, language, begin = found["fence"], found["language"].lower(), place + 1
    return blocks


def _unmarked(output: str, starts: str = "") -> list[str]:
    """The parts of an output that are to be in the form: code blocks without a language, all of it if it has no block.

    Of the blocks, those that begin with one of the characters; without characters all.
    """
    blocks = _fenced(output)
    bare = [body for language, body in blocks if not language and (not starts or body.lstrip()[:1] in starts)]
    return bare or ([] if blocks or "```" in output else [output])


def _said(read: Callable[[], object]) -> str | None:
    """What a parser has to say of a text; None: it can be read."""
    try:
        read()
    except (RecursionError, MemoryError):
        return "nested too deeply"
    except SyntaxError as error:
        return excerpt(f"line {error.lineno}: {error.msg}")
    except Exception as error:  # noqa: BLE001 - each parser has errors of its own
        return excerpt(str(error))
    return None


def _form(
    task: Task,
    instance: Instance,
    name: str,
    fault: Callable[[str], str | None],
    starts: str = "",
    other_name: str = "",
    longest: int = LONGEST_SLOW,
) -> str | None:
    """What is wrong with the first block of that form, or the answer asked for in it, that cannot be read."""
    if len(instance.output) > longest:
        return None
    form = name.lower()
    blocks = [body for language, body in _fenced(instance.output) if language and language in {form, other_name}]
    if not blocks and _ASKS[name](task.instruction):
        blocks = _unmarked(instance.output, starts)
    return next((said for text in blocks if (said := fault(text))), None)


def json_form(task: Task, instance: Instance) -> Fault | None:
    """`invalid_json` for an output that was asked for as JSON and is none; code fences and words around it are fine."""
    found = _form(task, instance, "JSON", _json_fault, '{["', longest=LONGEST)
    return reject("invalid_json", found) if found else None


def _json_fault(text: str) -> str | None:
    """What is wrong with a JSON text; one value a line is fine, and so are words around it."""
    fault = _parse_json(text)
    lines = [line for line in text.splitlines() if line.strip()]
    if fault is None or (
        len(lines) > 1 and all(line.lstrip()[:1] in "{[" and _parse_json(line) is None for line in lines)
    ):
        return None
    start, end = regex.search(r"[{\[]", text), max(text.rfind("}"), text.rfind("]"))
    if start is None:
        return f"no JSON: {quoted(text)}"
    return fault if start.start() >= end or _parse_json(text[start.start() : end + 1]) is not None else None


def _parse_json(text: str) -> str | None:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    # Numbers are not looked at: one of many digits takes Python long, or is refused.
    return _said(lambda: json.loads(text, parse_int=lambda _: 0, parse_constant=refuse))


def python_syntax(task: Task, instance: Instance) -> Fault | None:
    """`invalid_python` for a block marked as Python, or an answer that is asked for or meant as Python, and is none.

    Python as the running interpreter knows it. The text is parsed and never run. Sessions with prompts, pieces with an
    elision, and answers that do not look like code from their first line on are left alone.
    """
    if len(instance.output) > LONGEST:
        return None
    blocks = [body for language, body in _fenced(instance.output) if language in {"python", "py", "python3"}]
    text = instance.output
    if not blocks and _asks_python(task.instruction):
        bare = [body for language, body in _fenced(text) if not language and _CODE_LINE.search(body)]
        starts = _CODE_LINE.match(text.lstrip())
        blocks = bare or ([_without_prose(text)] if starts and "```" not in text else [])
    elif not blocks and _PLAINLY_PYTHON.match(text) and "```" not in text:
        blocks = [] if words("wants_a_fault").search(task.instruction) else [_without_prose(text)]
    for text in blocks:
        if _PROMPTS.search(text) or _ELISION.search(text):
            continue
        if fault := python_fault(text):
            return reject("invalid_python", fault)
    return None


def _without_prose(text: str) -> str:
    """Code without the paragraphs after it that explain it."""
    paragraphs = regex.split(r"\n[ \t]*\n", text.rstrip())
    while len(paragraphs) > 1 and _is_prose(paragraphs[-1]):
        paragraphs.pop()
    return "\n\n".join(paragraphs)


def _is_prose(paragraph: str) -> bool:
    return len(paragraph.split()) > 3 and bool(_PROSE.fullmatch(paragraph.strip()))


def _asks_python(instruction: str) -> bool:
    is_asked = may_hold(instruction, "python") and _ASKS_PYTHON.search(instruction)
    return bool(is_asked) and not words("about_python").search(instruction)


def python_fault(text: str) -> str | None:
    """What keeps a text from being Python, without running it; None: it is Python, also where it is indented."""
    if _PREFIXES.search(text):
        return "nested too deeply"
    lines = text.expandtabs().splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    source = "\n".join(line[margin:] for line in lines) + "\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the parsed text: "\d" in a string is no fault
        return _said(lambda: ast.parse(source))


def toml_form(task: Task, instance: Instance) -> Fault | None:
    """`invalid_toml` for an output that was asked for as TOML, or a block marked as such, that is none."""
    found = _form(task, instance, "TOML", lambda text: _said(lambda: tomllib.loads(text)))
    return reject("invalid_toml", found) if found else None


def yaml_form(task: Task, instance: Instance) -> Fault | None:
    """`invalid_yaml` for an output that was asked for as YAML, or a block marked as such, that is none.

    Read as events: no object is made of it, and no alias is followed.
    """

    def fault(text: str) -> str | None:
        import yaml  # noqa: PLC0415 - only who meets YAML waits for it

        if _BRACKETS.search(text):
            return "nested too deeply"
        return _said(lambda: list(yaml.parse(text, Loader=yaml.SafeLoader)))

    found = _form(task, instance, "YAML", fault, other_name="yml")
    return reject("invalid_yaml", found) if found else None


def xml_form(task: Task, instance: Instance) -> Fault | None:
    """`invalid_xml` for an output that was asked for as XML, or a block marked as such, that is not well-formed.

    Several elements side by side will do. Entities are not expanded, nothing outside is read.
    """
    found = _form(task, instance, "XML", _xml_fault)
    return reject("invalid_xml", found) if found else None


def _xml_fault(text: str) -> str | None:
    from xml.parsers import expat  # noqa: PLC0415 - only who meets XML waits for it

    if "<" not in text:
        return f"no XML: {quoted(text)}"
    if "<!" in text:
        return None  # a document type may declare entities without end
    inner = text[text.index("<") : text.rfind(">") + 1] or text  # without any ">" it is none, and the parser says why
    source = regex.sub(r"<\?xml[^<>]*\?>", "", inner)
    return _said(lambda: expat.ParserCreate().Parse(f"<several>{source}</several>", True))
