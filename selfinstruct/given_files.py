"""Files that a user names: only regular ones are read, and only as much as a file of tasks or settings can be.

Packed files are unpacked and UTF-16 is read where that leaves no doubt; what is plainly something else is named.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, cast

from selfinstruct.errors import ConfigError

MAX_BYTES = 2 << 30
"""The most that is read of a file, and the most that it may unpack to."""
_BOM = b"\xef\xbb\xbf"


class Unreadable(Exception):  # noqa: N818 - it is what was found
    """Why a file cannot be used, and what to do."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}; {remedy}")
        self.found, self.remedy = found, remedy


def read_data(path: Path, wanted: str) -> tuple[bytes, str]:
    """What a file of rows holds, and the ending of its name in small letters, without that of what it was packed in.

    Parquet stays as it is, all else is in UTF-8 unless a byte of it is not. `wanted` is what the user should have
    named, as in "a seed file".

    Raises:
        Unreadable: there is no such file, it is too large, or it is plainly something else.
    """
    raw, name = read_bytes(path, wanted), path.name
    for _ in range(2):  # a packed file in a ZIP archive is the deepest that people have
        unpack = next((unpack for magic, unpack in _PACKED.items() if raw.startswith(magic)), None)
        if unpack is None:
            break
        raw, name = _unpacked(raw, name, unpack)
    return _as_utf8(raw), Path(name).suffix.lower()


def read_text(path: Path, wanted: str) -> str:
    """The text of a file in UTF-8 (UTF-16 with a mark at its start is read too).

    Raises:
        ConfigError: one line that names the file and what is wrong with it.
    """
    try:
        raw = _as_utf8(read_bytes(path, wanted))
        return raw.decode("utf-8-sig")
    except Unreadable as error:
        raise ConfigError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{error.object[error.start]:02x}"
        raise ConfigError(f"{path}:{line}: this is not UTF-8 text ({found}); save the file as UTF-8") from None


def read_bytes(path: Path, wanted: str) -> bytes:
    """All bytes of a regular file.

    Raises:
        Unreadable: there is none that can be read, or it is too large.
    """
    try:
        _check_regular(path.stat(), wanted)
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # whatever lies there now, it cannot block
        with os.fdopen(handle, "rb") as file:
            _check_regular(os.fstat(handle), wanted)
            return _bounded(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for a name that no file can have
        raise Unreadable("no such file", f"name {wanted}") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise Unreadable("a name longer than any file can have", f"name {wanted}") from None
        raise Unreadable(f"cannot be read ({error.strerror})", "make it readable") from None


def _check_regular(found: os.stat_result, wanted: str) -> None:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe and no regular file"}
    kinds |= {stat.S_IFREG: "", stat.S_IFSOCK: "a socket and no regular file"}
    if kind := kinds.get(stat.S_IFMT(found.st_mode), "a device and no regular file"):
        raise Unreadable(kind, f"name {wanted}")
    if found.st_size > MAX_BYTES:
        raise Unreadable(f"more than {MAX_BYTES >> 30} GB", "take a part of it")


def _bounded(file: IO[bytes], when: str = "") -> bytes:
    raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise Unreadable(f"more than {MAX_BYTES >> 30} GB{when}", "take a part of it")
    return raw


Unpack = Callable[[IO[bytes]], IO[bytes]]


def _zstd(packed: IO[bytes]) -> IO[bytes]:
    import pyarrow as pa  # noqa: PLC0415 - takes longer to import than other files take to read

    stream: IO[bytes] = pa.CompressedInputStream(pa.BufferReader(packed.read()), "zstd")
    return stream


def _member(packed: IO[bytes]) -> IO[bytes]:
    """The one file of a ZIP archive, except for what a Mac adds."""
    archive = zipfile.ZipFile(packed)
    names = [one.filename for one in archive.infolist() if not one.is_dir()]
    if "[Content_Types].xml" in names:
        raise Unreadable("a spreadsheet or an office document", "save its table as CSV")
    files = [name for name in names if not name.startswith("__MACOSX/") and not name.endswith(".DS_Store")]
    if len(files) != 1:
        raise Unreadable(f"a ZIP archive of {len(files)} files", "unpack it and name one of them")
    return archive.open(files[0])


_TORN = (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
_PACKED: Mapping[bytes, Unpack] = {
    b"\x1f\x8b": lambda packed: cast("IO[bytes]", gzip.GzipFile(fileobj=packed)),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"(\xb5/\xfd": _zstd,
    b"PK\x03\x04": _member,
}
"""How packed files are opened, by how they begin."""


def _unpacked(raw: bytes, name: str, unpack: Unpack) -> tuple[bytes, str]:
    """What is packed in a file, and its name."""
    try:
        with contextlib.closing(unpack(io.BytesIO(raw))) as stream:
            inner = stream.name if isinstance(stream, zipfile.ZipExtFile) else Path(name).stem
            return _bounded(stream, " when unpacked"), inner or name
    except _TORN as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise Unreadable(f"packed, and cannot be unpacked ({said})", "fetch or pack it again") from None


_NOT_ROWS: Mapping[bytes, str] = {
    b"%PDF": "a PDF document",
    b"SQLite format 3\0": "an SQLite database",
    b"ARROW1": "an Arrow file",
    b"\xff\xff\xff\xff": "an Arrow stream",
    b"Obj\x01": "an Avro file",
    b"\x89HDF": "an HDF5 file",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\xd0\xcf\x11\xe0": "an office document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
_HTML = re.compile(rb"\s*(<!doctype html|<html|<head|<\?xml)", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^<>]{0,200}>([^<]{0,200})", re.IGNORECASE)
_WIDE: Mapping[str, str] = {
    r"\xff\xfe\0\0|\0\0\xfe\xff": "utf-32",
    r"(\xff\xfe|\xfe\xff).*": "utf-16",
    r"\0{3}[^\0]": "utf-32-be",
    r"[^\0]\0{3}": "utf-32-le",
    r"(\0[^\0]){2}": "utf-16-be",
    r"([^\0]\0){2}": "utf-16-le",
}
"""Encodings by the first four bytes: a mark, or the zero bytes that plain letters have in them."""


def _as_utf8(raw: bytes) -> bytes:
    """Text in UTF-16 or UTF-32 as UTF-8, anything else as it is, unless it holds neither rows nor text.

    Raises:
        Unreadable: it is such as a failed download leaves, or broken.
    """
    head = raw.removeprefix(_BOM)[:4096]
    if head.startswith((b"version https://git-lfs", b"version http://git-media", b"/annex/objects/")):
        raise Unreadable("a pointer of Git LFS, and not the data", "fetch the data with `git lfs pull`")
    if _HTML.match(head):
        title = _TITLE.search(head)
        said = " ".join(title[1].decode("utf-8", "replace").split()) if title else ""
        titled = f' titled "{said}"' if said else ""
        raise Unreadable(f"a web page{titled} or XML, and not the data", "download the file itself")
    if what := next((what for magic, what in _NOT_ROWS.items() if head.startswith(magic)), None):
        raise Unreadable(what, "save it as .jsonl, .json, .csv or .parquet")
    if raw[257:262] == b"ustar":
        raise Unreadable("a tar archive", "unpack it and name one of its files")
    start = raw[:4].decode("latin-1")
    encoding = next((name for form, name in _WIDE.items() if re.fullmatch(form, start, re.DOTALL)), None)
    if encoding is None:
        return raw
    try:
        return raw.decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeError:
        raise Unreadable(f"{encoding[:6].upper()} text that is broken", "save the file as UTF-8") from None


def read_list(path: Path, what: str) -> tuple[str, ...]:
    """The lines of a text file, without empty ones and those that begin with #.

    Raises:
        ConfigError: it cannot be read, or holds none.
    """
    lines = tuple(line.strip() for line in read_text(path, f"a text file with a {what} a line").splitlines())
    found = tuple(line for line in lines if line and not line.startswith("#"))
    if not found:
        raise ConfigError(f"{path} holds no {what}; give one a line")
    return found
