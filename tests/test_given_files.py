"""Files that a user names, through the command line: devices, packed files, and what is no data at all."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.given_files import MAX_BYTES

ROWS = [
    {"instruction": "Name three rivers of Germany.", "output": "Rhine, Elbe, Danube"},
    {"instruction": "Übersetze den Gruß ins Italienische.", "output": "Buona sera, 朋友"},
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
PIPED = "\n".join(["instruction|output", *("|".join(row.values()) for row in ROWS)])
PRETTY = "\n".join(json.dumps(row, ensure_ascii=False, indent=2) for row in ROWS)


def run(*arguments: object) -> int:
    return cli.run([str(one) for one in arguments])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of an error."""
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    return line


def zipped(members: dict[str, str]) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in members.items():
                archive.writestr(name, text)
        return file.getvalue()


def parquet() -> bytes:
    with io.BytesIO() as file:
        pq.write_table(pa.Table.from_pylist(ROWS), file)
        return file.getvalue()


READ: dict[str, tuple[str, bytes]] = {
    "a byte order mark": ("x.jsonl", LINES.encode("utf-8-sig")),
    "UTF-16 without a mark": ("x.jsonl", LINES.encode("utf-16-le")),
    "UTF-32": ("x.json", json.dumps(ROWS).encode("utf-32")),
    "CSV of a spreadsheet in UTF-16": (
        "x.csv",
        "\n".join(["instruction\toutput", *("\t".join(row.values()) for row in ROWS)]).encode("utf-16"),
    ),
    "pretty-printed objects": ("x.jsonl", PRETTY.encode()),
    "pretty-printed objects with commas": ("x.jsonl", PRETTY.replace("\n}\n", "\n},\n").encode()),
    "CSV with | called .txt": ("x.txt", PIPED.encode()),
    "an array in an object": ("x.json", json.dumps({"version": 1, "data": ROWS}).encode()),
    "gzip": ("x.jsonl.gz", gzip.compress(LINES.encode())),
    "bzip2": ("x.jsonl.bz2", bz2.compress(LINES.encode())),
    "xz": ("x.jsonl.xz", lzma.compress(LINES.encode())),
    "zstd": ("x.jsonl.zst", bytes(pa.compress(LINES.encode(), codec="zstd", asbytes=True))),
    "ZIP": ("x.zip", zipped({"seeds/x.jsonl": LINES, "__MACOSX/._x.jsonl": "?"})),
    "Parquet called .jsonl": ("x.jsonl", parquet()),
    "JSON Lines called .parquet": ("x.parquet", LINES.encode()),
}  # fmt: skip


@pytest.mark.parametrize("how", READ)
def test_what_plainly_holds_rows_is_read_whatever_it_is_called_or_packed_in(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content = READ[how]
    (tmp_path / name).write_bytes(content)
    good = tmp_path / "good.jsonl"
    assert run("seeds", "check", tmp_path / name, "--write-good", good) == 0, capsys.readouterr().out
    assert [json.loads(line) for line in good.read_text("utf-8").splitlines()] == ROWS


NAMED: dict[str, tuple[str, bytes, str]] = {
    "LFS": ("x.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
            "a pointer of Git LFS, and not the data; fetch the data with `git lfs pull`"),
    "page": ("x.jsonl", b"\n<!DOCTYPE html>\n<html><head><title>404:\n Not Found</title>",
             'a web page titled "404: Not Found" or XML, and not the data; download the file itself'),
    "spreadsheet": ("x.xlsx", zipped({"[Content_Types].xml": "<x/>", "xl/a.xml": "<x/>"}), "save its table as CSV"),
    "archive of two": ("x.zip", zipped({"a": "1", "b": "2"}), "a ZIP archive of 2 files; unpack it and name one"),
    "cut gzip": ("x.gz", gzip.compress(LINES.encode())[:-9], "packed, and cannot be unpacked"),
    "no ZIP": ("x.xlsx", b"PK\x03\x04\0", "packed, and cannot be unpacked (File is not a zip file); fetch or pack it"),
    "PDF": ("x.jsonl", b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
    "database": ("x.jsonl", b"SQLite format 3\0\x10\0", "an SQLite database"),
}  # fmt: skip


@pytest.mark.parametrize("how", NAMED)
def test_what_is_no_data_is_named_in_one_line_by_seeds_and_test_sets_alike(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, wanted = NAMED[how]
    path, pool = tmp_path / name, tmp_path / "new" / "pool"
    path.write_bytes(content)
    assert run("generate", "--pool", pool, "--seeds", path) == 2
    assert wanted in said(capsys)
    assert run("generate", "--pool", pool, "--exclude", path) == 2
    assert wanted in said(capsys)
    assert run("seeds", "check", path) == 2
    assert wanted in capsys.readouterr().out
    assert not (tmp_path / "new").exists()


OTHER_TEXT: list[tuple[str, str, str]] = [
    ("x.yaml", "- instruction: Name a river.\n  output: Rhine\n", "write its tasks as JSON Lines, JSON, CSV or"),
    ("x.txt", "Name three rivers of Germany.\n", "write its tasks as JSON Lines, JSON, CSV or Parquet"),
    ("x.md", "| instruction | output |\n|---|---|\n| Name a river. | Rhine |\n", "write its tasks as"),
    ("x.jsonl", "404: Not Found", 'plain text, which begins with "404: Not Found"; if a download failed'),
    ("x.json", "Entry not found\n", 'plain text, which begins with "Entry not found"'),
    ("x.csv", "404: Not Found", 'plain text, which begins with "404: Not Found"'),
    ("x.csv", "frage;antwort\nWo?;Hier\n", 'no task form is made of "frage" and "antwort"'),
    ("x.csv", "frage|antwort\nWo?|Hier\n", 'no task form is made of "frage" and "antwort"'),
    ("x.jsonl", '{"chosen": "Rhine", "rejected": "Nile"}\n',
     '"chosen" is an answer without what was asked; add a column "prompt" with the request'),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "wanted"), OTHER_TEXT)
def test_text_that_holds_no_seeds_is_told_by_what_it_is(
    name: str, content: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    assert run("generate", "--pool", tmp_path / "p", "--seeds", tmp_path / name) == 2
    line = said(capsys)
    assert wanted in line
    assert "save it as" not in line


def pipe(path: Path) -> None:
    os.mkfifo(path)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # holes, which take no place


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [pipe, Path.mkdir, endless, huge])
@pytest.mark.parametrize("option", ["--seeds", "--exclude", "--config", "recipe.topics"])
def test_what_is_no_regular_file_is_refused_at_once(
    option: str, make: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, config = tmp_path / "named", tmp_path / "config.toml"
    make(path)
    config.write_text(f'recipe.topics = "{path}"\n')
    given = [option, path] if option.startswith("--") else ["--config", config]
    assert run("generate", "--pool", tmp_path / "new" / "pool", *given) == 2
    assert f"{path}: " in said(capsys)
    assert not (tmp_path / "new").exists()


def test_a_bomb_is_not_unpacked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfinstruct.given_files.MAX_BYTES", 1 << 20)
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * (2 << 20)))
    assert run("generate", "--pool", tmp_path / "pool", "--seeds", path) == 2
    assert "when unpacked" in said(capsys)
