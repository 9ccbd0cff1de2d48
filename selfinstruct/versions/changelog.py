"""What changed from the last good version to this one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.store.ledger import instructions_of
from selfinstruct.store.reading import Connection
from selfinstruct.versions.gate import Figures, shown

MOST_SHOWN = 20
LONGEST = 160
"""Characters of a text that are shown."""


@dataclass(frozen=True, slots=True)
class Change:
    """Tasks that came and went, the first of them with their instructions."""

    added: int
    removed: int
    first_added: Mapping[str, str]
    first_removed: Mapping[str, str]
    """Task id -> instruction."""


def change(connection: Connection, tasks: Sequence[str], before: Sequence[str]) -> Change:
    """What came to and went from the tasks of the version before."""
    now, earlier = set(tasks), set(before)
    added = [one for one in tasks if one not in earlier]
    removed = [one for one in before if one not in now]
    return Change(
        len(added),
        len(removed),
        instructions_of(connection, added[:MOST_SHOWN]),
        instructions_of(connection, removed[:MOST_SHOWN]),
    )


def changelog(manifest: Mapping[str, Any], before: Figures | None, changed: Change) -> str:
    """The changelog in Markdown; every text of a model shows as it is."""
    previous = manifest["previous"]
    lines = [f"# Version {manifest['number']}: {manifest['state']}", ""]
    lines += [f"- {plain(reason)}" for reason in manifest["reasons"]]
    lines += [""] if manifest["reasons"] else []
    against = f"Against version {previous}" if previous else "There was no version before"
    lines += [f"{against}: {changed.added:,} tasks added, {changed.removed:,} removed.", ""]
    lines += [f"| figure | version {previous} | this version |" if previous else "| figure | | this version |"]
    lines += ["|---|---:|---:|"]
    for name, value in manifest["figures"].items():
        earlier = shown(before.get(name)) if before else ""
        lines.append(f"| {name} | {earlier} | {shown(value)} |")
    for title, count, first in (
        ("Added", changed.added, changed.first_added),
        ("Removed", changed.removed, changed.first_removed),
    ):
        if count:
            more = f", the first {len(first)} of {count:,}" if count > len(first) else ""
            lines += ["", f"## {title}{more}", ""]
            lines += [f"- `{identity}` {plain(text)}" for identity, text in first.items()]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """A text as one line of Markdown that shows it as it is, shortened."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    return re.sub(r"([\\`*_\[\]<>|~&$#]|:(?=//)|(?<=www)\.)", r"\\\1", line)
