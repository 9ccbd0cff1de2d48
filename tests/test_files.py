"""Files that change as a whole: what is never replaced, and what a kill leaves."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from selfinstruct.cli.commands import run
from selfinstruct.errors import PoolError
from selfinstruct.pool.whole_files import whole_file
from tests.pools import small_pool
from tests.processes import running

WRITES = """
import os, sys
from pathlib import Path
from selfinstruct.__main__ import main
from selfinstruct.cli import commands as cli
from selfinstruct.pool.whole_files import whole_file

if sys.argv[2] == "named":
    del os.O_TMPFILE  # as on a system that has no files without a name

def write(*_):
    try:
        with whole_file(Path(sys.argv[1])) as file:
            file.write("half")
            file.flush()
            print("writing", flush=True)
            sys.stdin.read()
    except KeyboardInterrupt:
        return 130

cli.run = write
main()
"""


def special(kind: str, path: Path) -> Path:
    """Something that is no regular file."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(os.path.relpath(path))
    else:
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("only root makes devices, and only root could replace one")
    return path


@pytest.mark.parametrize("through_a_link", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device"])
def test_what_is_no_regular_file_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, through_a_link: bool
) -> None:
    pool = small_pool(tmp_path / "pool")
    place = special(kind, tmp_path / "place")
    before = place.lstat()
    out = place
    if through_a_link:
        out = tmp_path / "link"
        out.symlink_to(place)
    assert run(["report", str(pool), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {out}: ")
    assert said.count("\n") == 1
    assert (place.lstat().st_ino, place.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert sorted(path.name for path in tmp_path.iterdir() if path != out) == sorted({"pool", "place"} - {out.name})


def test_a_link_to_a_file_stays_and_its_file_changes_with_its_rights(tmp_path: Path) -> None:
    pool = small_pool(tmp_path / "pool")
    (tmp_path / "there").mkdir()
    file, link = tmp_path / "there" / "old.html", tmp_path / "report.html"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    assert run(["report", str(pool), "--out", str(link)]) == 0
    assert link.is_symlink()
    assert "<html" in file.read_text("utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [path.name for path in file.parent.iterdir()] == ["old.html"]


def test_an_error_while_writing_leaves_the_old_file_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(UnicodeEncodeError), whole_file(tmp_path / "a") as file:
        file.write("new \ud800")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]
    with pytest.raises(PoolError, match="folder"), whole_file(tmp_path):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("way", ["nameless", "named"])
def test_a_kill_leaves_the_old_file_and_nothing_else(tmp_path: Path, way: str, number: signal.Signals) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    command = [sys.executable, "-c", WRITES, str(path), way]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(number)
        process.wait()
    assert path.read_text() == "old"
    if (way, number) == ("named", signal.SIGKILL):
        assert len(list(tmp_path.iterdir())) == 2
        with whole_file(tmp_path / "a.b"), whole_file(path) as file:  # of these only the second clears it away
            file.write("new")
        assert sorted(left.name for left in tmp_path.iterdir()) == ["a", "a.b"]
    else:
        assert [left.name for left in tmp_path.iterdir()] == ["a"]
