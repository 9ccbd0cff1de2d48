"""Growing a pool in a real Jupyter kernel: cells, their output, and what is left when one is interrupted."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.models.offline.server import OfflineServer
from tests.builders import ROOT, exported, grow
from tests.pages import blocks, run_cells
from tests.processes import counted

pytest.importorskip("ipykernel")
manager = pytest.importorskip("jupyter_client.manager")

pytestmark = pytest.mark.filterwarnings("default")  # the kernel's packages are not ours

Output = dict[str, Any]


class Notebook:
    """A kernel that runs one cell after the other."""

    def __init__(self, kernel: Any, client: Any) -> None:
        self._kernel, self._client = kernel, client

    def begin(self, code: str) -> str:
        """Begin to run a cell; its number."""
        return str(self._client.execute(code))

    def interrupt(self) -> None:
        """What the button with the square does."""
        self._kernel.interrupt_kernel()

    def outputs(self, cell: str) -> list[Output]:
        """What a cell put out until it ended, each with its `kind`."""
        found: list[Output] = []
        while True:
            message = self._client.get_iopub_msg(timeout=100)
            if message["parent_header"].get("msg_id") != cell:
                continue
            content = message["content"]
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                return found
            found.append({"kind": message["msg_type"], **content})

    def run(self, code: str) -> list[Output]:
        """What a cell puts out."""
        return self.outputs(self.begin(code))

    def value(self, code: str) -> str:
        """What a cell shows as its value, as plain text."""
        found = self.run(code)
        values = [one["data"]["text/plain"] for one in found if one["kind"] == "execute_result"]
        assert len(values) == 1, found
        return str(values[0])


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    """A notebook with the package imported."""
    kernel, client = manager.start_new_kernel(cwd=str(ROOT))
    try:
        opened = Notebook(kernel, client)
        assert not errors(opened.run("import selfinstruct as si"))
        yield opened
    finally:
        client.stop_channels()
        with contextlib.suppress(RuntimeError):
            kernel.shutdown_kernel(now=True)


def errors(outputs: list[Output]) -> list[str]:
    """The errors among outputs."""
    return [f"{one['ename']}: {one['evalue']}" for one in outputs if one["kind"] == "error"]


def test_the_blocks_of_the_page_run_as_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cells = [block.code for block in blocks(ROOT / "docs" / "python.md") if block.language == "python"]
    given = {'model="gpt-4o-mini", ': "", "target=500, max_usd=2": "target=30", "more=100": "more=2"}
    for old, new in given.items():
        assert any(old in cell for cell in cells)
        cells = [cell.replace(old, new) for cell in cells]
    run_cells(cells, tmp_path)
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"mine", "mine-split", "own", "own-gemini"}


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "examples").glob("*.ipynb")))
def test_the_notebooks_of_the_examples_run_and_are_kept_without_outputs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cells = json.loads((ROOT / "examples" / name).read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in code)
    run_cells(("".join(cell["source"]) for cell in code), tmp_path)


def grow_slowly(pool: Path, server: OfflineServer, start: str = "si.generate") -> str:
    """The code of a cell that takes some seconds."""
    return f"{start}({str(pool)!r}, base_url={server.base_url!r}, model='offline', target=40, concurrency=4)"


def test_a_cell_grows_a_pool_and_shows_it(tmp_path: Path, notebook: Notebook) -> None:
    found = notebook.run(f"si.generate({str(tmp_path / 'p')!r}, target=12)")
    assert not errors(found)
    told = "".join(one["text"] for one in found if one["kind"] == "stream")
    assert "from 0 to 12 tasks with the built-in offline model" in told
    bars = [one["data"] for one in found if one["kind"] in {"display_data", "update_display_data"}]
    assert all([*bar] == ["text/plain"] for bar in bars)
    assert "of 12 tasks" in bars[0]["text/plain"]
    assert bars[-1]["text/plain"].startswith("the target of 12 tasks is reached")
    (shown,) = (one["data"] for one in found if one["kind"] == "execute_result")
    assert shown["text/html"].count("<tr>") > 5
    grow(tmp_path / "q", target=12)
    assert exported(tmp_path / "p") == exported(tmp_path / "q")


def test_a_cell_that_awaits_grows_the_same_pool(tmp_path: Path, notebook: Notebook) -> None:
    code = f"(await si.agenerate({str(tmp_path / 'p')!r}, target=12, quiet=True)).outcome.how"
    assert notebook.value(code) == "'target'"
    grow(tmp_path / "q", target=12)
    assert exported(tmp_path / "p") == exported(tmp_path / "q")


def test_functions_of_cells_are_checks_models_and_forms(tmp_path: Path, notebook: Notebook) -> None:
    check = (
        "@si.check\ndef no_questions(instruction):\n    import re\n"
        "    return 'is_question: it asks' if re.search(r'\\?$', instruction) else None"
    )
    assert not errors(notebook.run(check))
    pool = f"si.generate({str(tmp_path / 'p')!r}, target=40, checks=[*si.checks.default, no_questions], quiet=True)"
    assert not errors(notebook.run(f"pool = {pool}"))
    assert notebook.value("'is_question' in set(pool.rejections().reason)") == "True"
    form = "@si.export_format('qa')\ndef qa(row):\n    return {'q': row.instruction}"
    assert not errors(notebook.run(form))
    out = str(tmp_path / "out")
    assert notebook.value(f"[path.name for path in pool.export({out!r}, formats=['qa']).paths]") == "['qa.jsonl']"
    (said,) = errors(notebook.run("import re\n@si.check\ndef bad(text):\n    return re.escape(text)"))
    assert said.startswith("ConfigError: bad uses re from outside of it")
    model = "COUNT = 0\nasync def silent(messages):\n    global COUNT\n    COUNT += 1\n    return 'nothing to say'"
    assert not errors(notebook.run(model))
    run = f"si.generate({str(tmp_path / 'm')!r}, model=silent, max_requests=5, target=9, quiet=True).outcome.how"
    assert notebook.value(run) == "'budget'"
    assert int(notebook.value("COUNT")) == 5


@pytest.mark.parametrize("start", ["si.generate", "await si.agenerate"])
def test_an_interrupted_cell_keeps_what_it_has_and_goes_on_to_the_same_bytes(
    tmp_path: Path, notebook: Notebook, start: str
) -> None:
    with OfflineServer(latency="fixed:0.05") as server:
        code = grow_slowly(tmp_path / "p", server, start)
        cell = notebook.begin(code)
        while counted(tmp_path / "p") < 20:
            time.sleep(0.01)
        notebook.interrupt()
        (said,) = errors(notebook.outputs(cell))
        assert said.startswith(("KeyboardInterrupt", "CancelledError")), said
        stored = counted(tmp_path / "p")
        assert notebook.value(f"si.Pool({str(tmp_path / 'p')!r}).outcome.how") == "'interrupted'"
        assert not errors(notebook.run(code))
    assert counted(tmp_path / "p") > stored
    grow(tmp_path / "q", target=40)
    assert exported(tmp_path / "p") == exported(tmp_path / "q")
