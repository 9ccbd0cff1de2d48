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
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from selfinstruct.errors import ConfigError

MAX_BYTES = 2 << 30
"""The most that is read of a file, and the most that it may unpack to."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a file cannot be used, and what to do."""

    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}; {self.remedy}"


def read_bytes(path: Path, wanted: str) -> bytes | Unreadable:
    """All bytes of a regular file; `wanted` is what the user should have named, as in "a seed file"."""
    try:
        if (foreign := _no_file(path.stat().st_mode, wanted)) is not None:
            return foreign
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # whatever lies there now, it cannot block
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if (foreign := _no_file(found.st_mode, wanted)) is not None:
                return foreign
            raw = b"" if found.st_size > MAX_BYTES else file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for a name that no file can have
        return Unreadable("no such file", f"name {wanted}")
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return Unreadable("a name longer than any file can have", f"name {wanted}")
        return Unreadable(f"cannot be read ({error.strerror})", "make it readable")
    return _too_large("") if len(raw) > MAX_BYTES or found.st_size > MAX_BYTES else raw


def _no_file(mode: int, wanted: str) -> Unreadable | None:
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        return Unreadable("a folder", f"name {wanted}")
    what = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    return Unreadable(f"{what} and no regular file", f"name {wanted}")


def _too_large(when: str) -> Unreadable:
    return Unreadable(f"more than {MAX_BYTES >> 30} GB{when}", "take a part of it")


@dataclass(frozen=True, slots=True)
class Data:
    """The content of a file, unpacked: Parquet as it is, all else in UTF-8 unless a byte of it is not."""

    raw: bytes
    suffix: str
    """The ending of its name in small letters, without that of what it was packed in."""


def read_data(path: Path, wanted: str) -> Data | Unreadable:
    """What a file of rows holds; `wanted` as for `read_bytes`."""
    raw, name = read_bytes(path, wanted), path.name
    for _ in range(2):  # a packed file in a ZIP archive is the deepest that people have
        if isinstance(raw, Unreadable):
            return raw
        unpack = next((unpack for magic, unpack in _PACKED.items() if raw.startswith(magic)), None)
        if unpack is None:
            break
        raw, name = _unpacked(raw, name, unpack)
    if not isinstance(raw, Unreadable):
        raw = _something_else(raw) or _as_utf8(raw)
    return raw if isinstance(raw, Unreadable) else Data(raw, Path(name).suffix.lower())


def read_text(path: Path, wanted: str) -> str:
    """The text of a file in UTF-8 (UTF-16 with a mark at its start is read too).

    Raises:
        ConfigError: one line that names the file and what is wrong with it.
    """
    raw = read_bytes(path, wanted)
    if not isinstance(raw, Unreadable):
        raw = _something_else(raw) or _as_utf8(raw)
    if isinstance(raw, Unreadable):
        raise ConfigError(f"{path}: {raw}")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{error.object[error.start]:02x}"
        raise ConfigError(f"{path}:{line}: this is not UTF-8 text ({found}); save the file as UTF-8") from None


Unpack = Callable[[IO[bytes]], IO[bytes]]


def _zstd(packed: IO[bytes]) -> IO[bytes]:
    import pyarrow as pa  # noqa: PLC0415 - takes longer to import than other files take to read

    stream: IO[bytes] = pa.CompressedInputStream(pa.BufferReader(packed.read()), "zstd")
    return stream


def _member(packed: IO[bytes]) -> IO[bytes]:
    """The one file of a ZIP archive, but for what a Mac adds."""
    archive = zipfile.ZipFile(packed)
    names = [one.filename for one in archive.infolist() if not one.is_dir()]
    if "[Content_Types].xml" in names:
        raise _NotOneFileError(Unreadable("a spreadsheet or an office document", "save its table as CSV"))
    files = [name for name in names if not name.startswith("__MACOSX/") and not name.endswith(".DS_Store")]
    if len(files) != 1:
        raise _NotOneFileError(Unreadable(f"a ZIP archive of {len(files)} files", "unpack it and name one of them"))
    return archive.open(files[0])


class _NotOneFileError(Exception):
    def __init__(self, why: Unreadable) -> None:
        super().__init__(str(why))
        self.why = why


_TORN = (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
_PACKED: Mapping[bytes, Unpack] = {
    b"\x1f\x8b": lambda packed: cast("IO[bytes]", gzip.GzipFile(fileobj=packed)),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"(\xb5/\xfd": _zstd,
    b"PK\x03\x04": _member,
}
"""How packed files are opened, by how they begin."""


def _unpacked(raw: bytes, name: str, unpack: Unpack) -> tuple[bytes | Unreadable, str]:
    """What is packed in a file, and its name."""
    try:
        with contextlib.closing(unpack(io.BytesIO(raw))) as stream:
            found = stream.read(MAX_BYTES + 1)
            inner = stream.name if isinstance(stream, zipfile.ZipExtFile) else Path(name).stem
    except _NotOneFileError as error:
        return error.why, name
    except _TORN as error:
        said = " ".join(str(error).split()).rstrip(".")
        return Unreadable(f"packed, and cannot be unpacked ({said})", "fetch or pack it again"), name
    return (_too_large(" when unpacked") if len(found) > MAX_BYTES else found), inner or name


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


def _something_else(raw: bytes) -> Unreadable | None:
    """What a file is that holds neither rows nor text, such as what a failed download leaves."""
    head = raw.removeprefix(_BOM)[:4096]
    if head.startswith((b"version https://git-lfs", b"version http://git-media", b"/annex/objects/")):
        return Unreadable("a pointer of Git LFS, and not the data", "fetch the data with `git lfs pull`")
    if _HTML.match(head):
        title = _TITLE.search(head)
        said = " ".join(title[1].decode("utf-8", "replace").split()) if title else ""
        titled = f' titled "{said}"' if said else ""
        return Unreadable(f"a web page{titled} or XML, and not the data", "download the file itself")
    if what := next((what for magic, what in _NOT_ROWS.items() if head.startswith(magic)), None):
        return Unreadable(what, "save it as .jsonl, .json, .csv or .parquet")
    if raw[257:262] == b"ustar":
        return Unreadable("a tar archive", "unpack it and name one of its files")
    return None


def _as_utf8(raw: bytes) -> bytes | Unreadable:
    """Text in UTF-16 or UTF-32 as UTF-8, anything else as it is."""
    encoding = _wide_encoding(raw)
    if not encoding:
        return raw
    try:
        return raw.decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeError:
        return Unreadable(f"{encoding[:6].upper()} text that is broken", "save the file as UTF-8")


def _wide_encoding(raw: bytes) -> str:
    """UTF-16 or UTF-32 by its mark, or by the zero bytes that plain letters have in them; empty otherwise."""
    head = raw[:4]
    for mark, encoding in ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"),
                           (b"\xfe\xff", "utf-16")):  # fmt: skip
        if head.startswith(mark):
            return encoding
    for zeros, encoding in ((rb"\0{3}[^\0]", "utf-32-be"), (rb"[^\0]\0{3}", "utf-32-le"),
                            (rb"(\0[^\0]){2}", "utf-16-be"), (rb"([^\0]\0){2}", "utf-16-le")):  # fmt: skip
        if re.fullmatch(zeros, head, re.DOTALL):
            return encoding
    return ""
