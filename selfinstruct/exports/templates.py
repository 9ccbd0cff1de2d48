"""Lines of JSON by templates: rows of one shape differ in their texts alone, so a form is asked once a shape.

What it gives for marks in place of the texts becomes a template, and into that the texts of each row are put, which are
quoted once for all forms. This takes a third of the time of an object for each row and form.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from uuid import uuid4

import orjson

from selfinstruct.exports.formats import END, Form, Unfit
from selfinstruct.pool.records import Row
from selfinstruct.types import Instance, Turn

Shape = tuple[bool, bool, bool, int]
"""What the JSON of a row depends on besides its texts: whether it has an input and a system text, whether one of the
first three texts has `END`, and the number of further turns."""
_END = END.encode()
_LINE_ENDS = {character.encode(): b"\\u%04x" % ord(character) for character in "\x85\u2028\u2029"}
"""Line ends for some readers, though not in JSON; escaped they are the same text."""
_MARK = uuid4().hex
"""No text has it."""


def on_one_line(json: bytes) -> bytes:
    """The JSON with the line ends escaped that some readers see in it."""
    if b"\xc2\x85" in json or b"\xe2\x80" in json:
        for character, escape in _LINE_ENDS.items():
            json = json.replace(character, escape)
    return json


class Quoter:
    """The shape and the quoted texts of the row that it saw last."""

    def __init__(self) -> None:
        self.row: Row | None = None
        self.shape: Shape = (False, False, False, 0)
        self.texts: Mapping[bytes, bytes] = {}

    def see(self, row: Row) -> None:
        """Quote the texts of a row."""
        one = row.instance
        turns = [text for turn in one.turns for text in (turn.user, turn.assistant)]
        texts = [row.instruction, one.input, one.output, row.system, *turns]
        json = on_one_line(orjson.dumps(texts, option=orjson.OPT_INDENT_2))
        # Within a text a line break is escaped, so that none but those between the texts are found.
        self.texts = dict(zip(_names(len(turns)), json[5:-3].split(b'",\n  "'), strict=True))
        has_end = _END in json and any(END in text for text in (row.instruction, one.input, one.output))
        self.shape = bool(one.input), bool(row.system), has_end, len(one.turns)
        self.row = row


@functools.cache
def _names(turns: int) -> tuple[bytes, ...]:
    return b"instruction", b"input", b"output", b"system", *(b"turn%d" % number for number in range(turns))


def template_of(form: Form, shape: Shape) -> bytes | Unfit:
    """The line of rows of this shape, with `%(NAME)b` for their texts.

    The form has to put texts into its object as they are.
    """
    has_input, has_system, has_end, count = shape
    names = _names(2 * count)
    marks = [f"{END if has_end else ''}{_MARK}{name.decode()}." for name in names]
    instruction, given, output, system, *turns = marks
    instance = Instance(given if has_input else "", output, tuple(map(Turn, turns[::2], turns[1::2])))
    found = form(Row("", instruction, instance, system=system if has_system else ""))
    if isinstance(found, Unfit):
        return found
    template = on_one_line(orjson.dumps(found)).replace(b"%", b"%%")
    for name, mark in zip(names, marks, strict=True):
        template = template.replace(mark.encode(), b"%%(%b)b" % name)
    return template + b"\n"
