from __future__ import annotations

from pathlib import Path

import pytest

from selfinstruct.errors import PoolError
from selfinstruct.store import pool as store
from selfinstruct.store.pool import Pool
from selfinstruct.store.reading import status
from tests.builders import grow, rows

SCRIPT = "CREATE TABLE notes (\n  text TEXT NOT NULL\n);\nCREATE INDEX notes_by_text ON notes (text);\n"
VERSION = "SELECT value FROM meta WHERE key = 'schema_version'"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pool that was made before the last upgrade was added."""
    pool = tmp_path / "p"
    grow(pool, target=5)
    monkeypatch.setattr(store, "UPGRADES", (*store.UPGRADES, SCRIPT))
    monkeypatch.setattr(store, "SCHEMA_VERSION", store.SCHEMA_VERSION + 1)
    return pool


@pytest.mark.parametrize("opening", ["to read", "to grow"])
def test_a_pool_of_an_earlier_version_is_brought_up_to_date(old: Path, opening: str) -> None:
    before = rows(old, "SELECT * FROM tasks ORDER BY position")
    if opening == "to read":
        assert status(old)["tasks"] == 5
    else:
        Pool.open(old).close()
    assert rows(old, VERSION) == [(str(store.SCHEMA_VERSION),)]
    assert rows(old, "SELECT COUNT(*) FROM notes") == [(0,)]
    assert rows(old, "SELECT * FROM tasks ORDER BY position") == before
    assert status(old)["tasks"] == 5


def test_an_upgrade_that_fails_changes_nothing_and_says_so(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = rows(old, VERSION)
    monkeypatch.setattr(store, "UPGRADES", (*store.UPGRADES[:-1], SCRIPT + "CREATE TABLE meta (\n  a TEXT\n);\n"))
    with pytest.raises(PoolError, match="earlier version"):
        status(old)
    assert rows(old, VERSION) == version
    assert rows(old, "SELECT COUNT(*) FROM sqlite_master WHERE name = 'notes'") == [(0,)]


def test_all_upgrades_give_the_tables_of_a_new_pool(tmp_path: Path) -> None:
    grow(tmp_path / "p", target=1)
    assert rows(tmp_path / "p", VERSION) == [(str(len(store.UPGRADES) + 1),)]
