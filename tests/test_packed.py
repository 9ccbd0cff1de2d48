"""What is packed in a pool's database comes back as it was, and takes little room."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.pool.packed import with_packing
from tests.builders import grow, rows

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))


def packing(*dictionaries: bytes) -> sqlite3.Connection:
    connection = with_packing(sqlite3.connect(":memory:"))
    connection.execute("CREATE TABLE dictionaries (number INTEGER PRIMARY KEY, content BLOB NOT NULL)")
    connection.executemany("INSERT INTO dictionaries (content) VALUES (?)", [(one,) for one in dictionaries])
    return connection


def there_and_back(connection: sqlite3.Connection, value: str | bytes | None, answer: str) -> str | bytes | None:
    (found,) = connection.execute("SELECT unpacked(packed(?1, ?2), ?2)", (value, answer)).fetchone()
    return found


@pytest.mark.parametrize("dictionaries", [(), (b"{}",), (b"some words", b'{"choices":[{"message":')])
@given(value=st.one_of(st.none(), TEXT, st.binary()), answer=TEXT)
def test_what_is_packed_comes_back(dictionaries: tuple[bytes, ...], value: str | bytes | None, answer: str) -> None:
    with closing(packing(*dictionaries)) as connection:
        assert there_and_back(connection, value, answer) == value


@given(answer=TEXT, is_ascii=st.booleans(), times=st.integers(1, 2), more=st.sampled_from([b"", b"\0", b"\xff"]))
def test_a_body_with_its_answer_comes_back_to_the_byte(answer: str, is_ascii: bool, times: int, more: bytes) -> None:
    body = json.dumps({"choices": [{"message": {"content": answer}}] * times}, ensure_ascii=is_ascii).encode() + more
    with closing(packing(b"a dictionary")) as connection:
        assert there_and_back(connection, body, answer) == body


def test_what_was_packed_by_an_earlier_dictionary_is_read_beside_a_newer_one() -> None:
    with closing(packing(b"the first dictionary of some length")) as connection:
        (old,) = connection.execute("SELECT packed('the first dictionary', '')").fetchone()
        connection.execute("INSERT INTO dictionaries (content) VALUES (?)", (b"another one",))
        (found,) = with_packing(connection).execute("SELECT unpacked(?, '')", (old,)).fetchone()
        assert found == "the first dictionary"


def test_a_pool_keeps_its_prompts_in_a_fifth_of_their_length(
    tmp_path: Path,
) -> None:
    grow(tmp_path / "p", target=40)
    packed = "SELECT SUM(length(messages)) + SUM(length(schema)) FROM requests"
    plain = "SELECT SUM(length(messages)) + SUM(length(schema)) FROM questions"
    assert rows(tmp_path / "p", packed)[0][0] < rows(tmp_path / "p", plain)[0][0] / 5
    bodies = rows(tmp_path / "p", "SELECT body, text FROM answers")
    assert all(json.loads(body)["choices"][0]["message"]["content"] == text for body, text in bodies)
    assert rows(tmp_path / "p", "SELECT SUM(length(body)) < SUM(length(text)) FROM completions") == [(1,)]
