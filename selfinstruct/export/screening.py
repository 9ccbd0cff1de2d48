"""Leaving rows out of an export that are near texts of a benchmark or a test set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from selfinstruct.exclusions import free_name
from selfinstruct.records import Exclusion
from selfinstruct.store.exclusions import Used
from selfinstruct.store.training import Row

if TYPE_CHECKING:
    from selfinstruct.filters.contaminated import Excluded, Found

CONTAMINATED = "contaminated"
THRESHOLD = "0.7"
"""As the default of `filters.exclude_threshold`."""


class Screen:
    """Tells rows that are near the texts of some exclusions, and counts them."""

    def __init__(self, exclusions: Sequence[Exclusion]) -> None:
        self.exclusions = exclusions
        self.hits: Counter[str] = Counter()
        """Rows by id of the exclusion."""
        self.rows: dict[str, str] = {}
        """By id of a row that was near one: which."""
        self._excluded = _excluded(exclusions) if exclusions else None
        self._last: tuple[str, Found | None] = ("", None)

    def near(self, row: Row) -> Found | None:
        """What a row is near, by its instruction, its input or its output; None if it can stay."""
        if self._excluded is None:
            return None
        if self._last[0] != row.task_id:
            self._last = (row.task_id, self._excluded.near(row.instruction))
        found = self._last[1] or self._excluded.near_instance(row.instruction, row.instance.input, row.instance.output)
        if found is not None:
            self.hits[found.exclusion.id] += 1
            self.rows[row.id] = f"{found.exclusion.name} row {found.row}"
        return found

    def to_json(self, used: Sequence[Used]) -> list[dict[str, Any]]:
        """What the pool was grown clear of, and this export cleared of, as it stands in the manifest; by name.

        Each has a name of its own, the same as in `left_out.jsonl`.
        """
        found: dict[str, dict[str, Any]] = {}
        for exclusion in self.exclusions:
            about = _about(exclusion.id, exclusion.name, len(exclusion.rows))
            found[exclusion.id] = about | {"rows_left_out": self.hits[exclusion.id]}
        for one in used:
            name = free_name(one.name, {about["name"] for about in found.values()})
            about = found.setdefault(one.id, _about(one.id, name, one.rows))
            about["candidates_rejected"] = one.hits
        return sorted(found.values(), key=lambda about: (about["name"], about["sha256"]))


def _excluded(exclusions: Sequence[Exclusion]) -> Excluded:
    from selfinstruct.filters.contaminated import Excluded  # noqa: PLC0415 - most exports have no use for it

    return Excluded(exclusions, THRESHOLD)


def _about(identity: str, name: str, rows: int) -> dict[str, Any]:
    return {"name": name, "sha256": identity, "rows": rows}


def in_words(about: Mapping[str, Any]) -> str:
    """What became of the texts near one exclusion."""
    said = []
    if "candidates_rejected" in about:
        said.append(f"{about['candidates_rejected']:,} candidates rejected while the pool grew")
    if "rows_left_out" in about:
        said.append(f"{about['rows_left_out']:,} rows left out of this export")
    return ", ".join(said)
