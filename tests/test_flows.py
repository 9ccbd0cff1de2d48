"""The Prefect flow, run for real against a Prefect server and a pool."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import selfinstruct.scheduling  # noqa: F401 - sets what Prefect reads when it is imported
from selfinstruct.config.loading import load
from selfinstruct.diversity.reasons import meaning
from selfinstruct.pool.reader import status
from selfinstruct.versions.publishing import plain
from tests.builders import ROOT, exported, grow, rows
from tests.prefect.serving import wait_for

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prefect server of our own, on an empty database."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    from prefect.settings import PREFECT_API_URL, get_current_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        url = str(PREFECT_API_URL.value() or get_current_settings().api.url)
        yield url
    with warnings.catch_warnings():  # Prefect leaves sockets to the garbage collector; not another test's fault
        warnings.simplefilter("ignore")
        gc.collect()


async def _asked(ask: Callable[[Any], Awaitable[Any]]) -> Any:
    """What Prefect's server answers."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        return await ask(client)


def asked(ask: Callable[[Any], Awaitable[Any]]) -> Any:
    return asyncio.run(_asked(ask))


async def _started(client: Any, name: str) -> UUID:
    found = await client.read_deployment_by_name(name)
    return UUID(str((await client.create_flow_run_from_deployment(found.id)).id))


def test_the_flow_grows_a_pool_as_generate_does_with_a_task_for_each_step(prefect: str, tmp_path: Path) -> None:
    from selfinstruct.scheduling.grow import GrowConfig
    from selfinstruct.scheduling.grow import grow as flow

    done = asyncio.run(flow(GrowConfig(pool=tmp_path / "p", target=40, backend="offline")))
    assert done["exit_code"] == 0
    asyncio.run(flow(GrowConfig(pool=tmp_path / "p", more=10, backend="offline")))
    grow(tmp_path / "q", target=50)
    assert exported(tmp_path / "p") == exported(tmp_path / "q")
    rounds = status(tmp_path / "p")["rounds"]
    wanted = {f"{step}-{number}" for step in ("sample", "prompt", "filter", "grow") for number in range(rounds)}

    def completed() -> dict[str, str] | None:  # Prefect tells its server in the background
        runs = asked(lambda client: client.read_task_runs(limit=200))
        states = {run.name: run.state_name for run in runs}
        return states if wanted <= {name for name, state in states.items() if state == "Completed"} else None

    names = wait_for("a task for each step of each round", completed, 120)
    assert {name.partition("-")[0] for name in names} <= {"sample", "prompt", "filter", "grow", "follow"}
    assert len(names) <= 6 * rounds + 12


@pytest.mark.parametrize("by", ["file", "environment", "parameters"])
def test_a_run_takes_its_model_from_wherever_it_is_named_and_its_summary_says_so(
    prefect: str, tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.artifacts import Artifact

    from selfinstruct.models.offline.server import OfflineServer
    from selfinstruct.scheduling.artifacts import BAR, key
    from selfinstruct.scheduling.grow import grow as flow

    pool, file = tmp_path / "p", tmp_path / "night.toml"
    with OfflineServer() as server:
        named = {"model": "offline", "base_url": [server.base_url]}
        given = {"pool": str(pool), "more": 5, **(named if by == "parameters" else {"model": None, "base_url": []})}
        if by == "file":
            file.write_text(f'[model]\nname = "offline"\nbase_url = "{server.base_url}"\n')
            given["file"] = str(file)
        if by == "environment":
            monkeypatch.setenv("SELFINSTRUCT_MODEL", "offline")
            monkeypatch.setenv("SELFINSTRUCT_BASE_URL", server.base_url)
        assert asyncio.run(flow(given))["exit_code"] == 0  # type: ignore[arg-type]
        assert server.stats()["requests"] > 5
    text = str(asyncio.run(Artifact.aget(key(pool, "summary"))).data)  # type: ignore[union-attr]
    assert f"Answered by offline at http:{server.base_url[5:]}".replace("://", "\\://", 1) in text
    instruction = rows(pool, "SELECT instruction FROM tasks WHERE origin = 'generated' ORDER BY id")[0][0]
    assert instruction.split()[0] in text
    for wanted in (
        "| instruction | input | output |",
        "cost in USD",
        f"selfinstruct review {pool}",
        "██",
        "It went well",
    ):
        assert wanted in text
    ((most, count),) = rows(pool, "SELECT reason, COUNT(*) FROM rejections GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1")
    assert f"| {'█' * BAR} | {count} | {plain(meaning(most))} | {plain(most)} |" in text
    assert "p +5" in {run.name for run in asked(lambda client: client.read_flow_runs(limit=200))}


def test_what_failed_is_told_with_what_to_do_now(prefect: str, tmp_path: Path) -> None:
    from prefect.artifacts import Artifact

    from selfinstruct.errors import AccessError, ConfigError, SelfInstructError
    from selfinstruct.models.offline.server import OfflineServer
    from selfinstruct.scheduling.artifacts import ENDS, key
    from selfinstruct.scheduling.grow import grow as grow_flow
    from selfinstruct.scheduling.publish import finetune, publish

    def text(pool: Path, what: str) -> str:
        return str(asyncio.run(Artifact.aget(key(pool, what))).data)  # type: ignore[union-attr]

    def says(pool: Path, what: str, code: int) -> bool:
        return all(words in text(pool, what) for words in (f"{ENDS[code][0]} (exit code {code}):", ENDS[code][1]))

    pool, none, file = tmp_path / "p", tmp_path / "none", tmp_path / "gate.toml"
    away = {"pool": str(none), "more": 5, "model": "m", "base_url": ["http://127.0.0.1:9/v1"]}
    with pytest.raises(AccessError):
        asyncio.run(grow_flow(away))  # type: ignore[arg-type]
    assert says(none, "summary", 5)
    with OfflineServer() as server, pytest.raises(SelfInstructError, match="no-such-model"):
        asyncio.run(grow_flow({**away, "model": "no-such-model", "base_url": [server.base_url]}))  # type: ignore[arg-type]
    assert says(none, "summary", 5)
    assert "no-such-model" in text(none, "summary")
    with pytest.raises(SelfInstructError, match="no such pool"):
        asyncio.run(publish({"pool": str(none)}))  # type: ignore[arg-type]
    assert says(none, "version", 2)
    grow(pool, target=10)
    file.write_text("[budget]\nmax_requests = 3\n[publish]\nmin_tasks = 1000\n")
    asyncio.run(grow_flow({"pool": str(pool), "more": 90, "backend": "offline", "file": str(file)}))  # type: ignore[arg-type]
    assert says(pool, "summary", 3)
    asyncio.run(publish({"pool": str(pool), "file": str(file)}))  # type: ignore[arg-type]
    assert says(pool, "version", 6)
    assert (pool / "versions/1/report.html").as_uri() in text(pool, "version")
    with pytest.raises(ConfigError, match="rejected"):
        asyncio.run(finetune({"pool": str(pool), "version": 1, "command": "false"}))  # type: ignore[arg-type]
    asyncio.run(publish({"pool": str(pool)}))  # type: ignore[arg-type]
    assert "(exit code" not in text(pool, "version")
    with pytest.raises(SelfInstructError, match="ended with exit code 1"):
        asyncio.run(finetune({"pool": str(pool), "command": "false"}))  # type: ignore[arg-type]
    assert says(pool, "finetune", 1)
    assert "attempt-1.log" in text(pool, "finetune")
    asyncio.run(finetune({"pool": str(pool), "command": "true"}))  # type: ignore[arg-type]
    assert ENDS[0][0] in text(pool, "finetune")
    names = {run.name for run in asked(lambda client: client.read_flow_runs(limit=200))}
    assert {"p publish", "p version 1", "p finetune"} <= names


def test_a_run_for_which_no_model_is_named_is_refused(prefect: str, tmp_path: Path) -> None:
    from selfinstruct.errors import ConfigError
    from selfinstruct.scheduling.grow import grow as flow

    file = tmp_path / "night.toml"
    file.write_text("concurrency = 4\n[model]\nbase_url = []\n")
    with pytest.raises(ConfigError, match="no model is named; give --model or --base-url"):
        asyncio.run(flow({"pool": str(tmp_path / "p"), "more": 5, "file": str(file)}))  # type: ignore[arg-type]
    assert not (tmp_path / "p").exists()


REFUSED = [
    ("grow", {"base_url": ["http://[::1"]}, "this is no base URL"),
    ("grow", {"base_url": ["http://host:99999/v1"]}, "this is no base URL"),
    ("grow", {"more": 10**30}, "less than or equal to"),
    ("grow", {"more": None, "target": 10**30}, "less than or equal to"),
    ("grow", {"max_usd": 10**30}, "less than or equal to"),
    ("grow", {"max_minutes": 10**30}, "less than or equal to"),
    ("finetune", {"version": 10**30}, "less than or equal to"),
    *(
        ("grow", {"secrets": {variable: "my-block"}}, "is no name for a key")
        for variable in ("LD_PRELOAD", "PATH", "PYTHONPATH", "PREFECT_API_KEY", "BASH_ENV", "GIT_ASKPASS", "A=B")
    ),
    ("publish", {"secrets": {"DYLD_INSERT_LIBRARIES": "my-block"}}, "is no name for a key"),
    ("finetune", {"secrets": {"HF_TOKEN": "hf_AbCdEfGh12345678"}}, "wanted the name of a Secret block"),
    ("finetune", {"secrets": {"OPENAI_API_KEY": "sk-abcdef0123456789"}}, "wanted the name of a Secret block"),
    *(
        ("finetune", {"command": f"python train.py {words}"}, "looks as if it holds a key")
        for words in (
            "--key sk-abcdef0123456789", "hf_AbCdEfGh12345678", "HF_TOKEN=x1", "--api-key=x1", "--hub_token x1",
            "--password x1", "-H 'Authorization: Bearer x1'", "https://me:x1@host/", "ghp_AbCdEfGh12345678",
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "wanted"), REFUSED)
def test_what_a_parameter_may_not_hold_is_refused_by_the_flow_and_by_its_schema(
    name: str, change: dict[str, object], wanted: str
) -> None:
    from prefect.utilities.callables import parameter_schema
    from prefect.utilities.schema_tools.validation import validate
    from pydantic import ValidationError

    from selfinstruct.scheduling.grow import GrowConfig
    from selfinstruct.scheduling.grow import grow as flow
    from selfinstruct.scheduling.publish import FinetuneConfig, PublishConfig, finetune, publish

    models = {"grow": (GrowConfig, flow), "publish": (PublishConfig, publish), "finetune": (FinetuneConfig, finetune)}
    model, of = models[name]
    good = {"pool": "p", **({"more": 5} if name == "grow" else {})}
    schema = parameter_schema(of).model_dump_for_openapi()
    assert validate({"config": good}, schema) == []
    assert model.model_validate(good)
    with pytest.raises(ValidationError, match="|".join(change)) as refused:
        model.model_validate(good | change)
    (fault,) = refused.value.errors()
    assert wanted in fault["msg"]
    assert "\n" not in fault["msg"]
    faults = validate({"config": good | change}, schema)
    assert faults
    assert all(fault.json_path.startswith("$.config.") for fault in faults)


@pytest.mark.parametrize(
    "command",
    [
        "python train.py {data} --out {out}", "python hf_train.py", "t --tokenizer x --max-tokens 512",
        "t --pad_token='<pad>' --eos-token '<|im_end|>'", "t --api-key-env NAME", "t --model outputs/sk-model/x",
    ],
)  # fmt: skip
def test_a_command_without_a_key_is_taken(command: str) -> None:
    from selfinstruct.scheduling.publish import FinetuneConfig

    secrets = {"OPENAI_API_KEY": "model-key", "HF_TOKEN": "hub", "AWS_ACCESS_KEY_ID": "aws", "PGPASSWORD": "db"}
    assert FinetuneConfig(pool=Path("p"), command=command, secrets=secrets).command == command


def test_nothing_that_a_terminal_obeys_is_logged() -> None:
    from selfinstruct.scheduling.running import _Short

    for words in ({"msg": "a \x1b[31mmodel of %s", "args": ("x\x07",)}, {"msg": "100%\x1b]0;b"}):
        record = logging.makeLogRecord(words)
        assert _Short().filter(record)
        assert record.getMessage().isprintable()
        assert record.getMessage().startswith(("a [31mmodel of x", "100% ]0;b"))


@pytest.mark.parametrize("sites", [1, 3, 7])
def test_the_parts_of_a_budget_are_no_more_than_the_whole_and_each_site_has_its_own_seed(sites: int) -> None:
    from selfinstruct.scheduling.grow import Share, part_of

    whole = load(None, {"max_usd": "1", "max_tokens": 100, "max_requests": 10, "more": 5, "model": "m", "seed": 3})
    parts = [part_of(whole, Share(number=one, of=sites, job="a")) for one in range(1, sites + 1)]
    spent = [one.budget for one in parts]
    assert Decimal("0.999999999") <= sum(one.max_usd or 0 for one in spent) <= 1
    assert sum(one.max_tokens or 0 for one in spent) == 100 // sites * sites
    assert sum(one.max_requests or 0 for one in spent) == 10 // sites * sites
    assert len({whole.seed, *(one.seed for one in parts)}) == sites + 1
    assert parts == [part_of(whole, Share(number=one, of=sites, job="b")) for one in range(1, sites + 1)]


def test_an_exception_nobody_expects_comes_out_of_a_step_as_it_is(prefect: str) -> None:
    from prefect import flow

    from selfinstruct.scheduling.running import as_task

    async def step() -> None:
        raise RuntimeError("a fault of the program")

    @flow
    async def one_step() -> None:
        await as_task("sample", 0, step)

    with pytest.raises(RuntimeError, match="a fault of the program"):
        asyncio.run(one_step())


def test_a_page_that_cannot_be_written_ends_no_run(prefect: str, tmp_path: Path) -> None:
    from prefect.logging.loggers import disable_run_logger
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    from selfinstruct.scheduling.artifacts import progress, show_rounds, show_text

    class Pump:
        done, goal = 0, 10

    async def work() -> int:
        async with progress(tmp_path) as follow:
            follow(Pump())  # type: ignore[arg-type]
            Pump.done = 10
        await show_rounds(tmp_path, [])
        await show_text(tmp_path, "summary", "done")
        return Pump.done

    away = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(away), disable_run_logger():
        assert asyncio.run(work()) == 10


def test_pools_of_one_name_have_names_of_their_own_in_prefect(prefect: str, tmp_path: Path) -> None:
    from selfinstruct.scheduling.artifacts import key, label

    folders = [tmp_path / name for name in ("a/mine", "b/mine", "池", "湖", "50% & more")]
    names = [label(folder) for folder in folders]
    assert len(set(names)) == len(folders)
    assert [name.rpartition("-")[0] for name in names] == ["mine", "mine", "pool", "pool", "50-more"]
    assert key(folders[0], "summary") == f"{names[0]}-summary"
    assert label(tmp_path / "x" / ".." / "a" / "mine") == names[0]


@pytest.mark.parametrize("url", ["http://me:hunter2@h/v1", "http://h/v1?api_key=hunter2", "http://hunter2@h"])
def test_a_url_with_a_secret_is_refused_and_not_said_again(
    prefect: str, url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    from prefect.exceptions import ParameterTypeError
    from pydantic import ValidationError

    from selfinstruct.scheduling.grow import GrowConfig
    from selfinstruct.scheduling.grow import grow as flow

    with pytest.raises(ParameterTypeError, match="base_url") as refused:
        asyncio.run(flow({"pool": "p", "more": 1, "base_url": [url]}))  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="base_url") as at_once:
        GrowConfig(pool=Path("p"), more=1, base_url=[url])
    said = capfd.readouterr()
    for text in (str(refused.value), str(at_once.value), caplog.text, said.out, said.err):
        assert "hunter2" not in text
    assert GrowConfig(pool=Path("p"), more=1, base_url=["http://[::1]:8000/v1", "https://host"])


NIGHTLY = ["--cron", "0 2 * * *"]
OFFLINE = ["--backend", "offline", "--more", "5"]


@pytest.mark.parametrize(
    ("options", "url", "wanted", "code"),
    [
        ([*NIGHTLY, *OFFLINE], "http://127.0.0.1:9/api", "no Prefect server answers at", 5),
        (["--cron", "0 2 * *", *OFFLINE], None, "--cron: '0 2 * *' is no cron expression", 2),
        ([*NIGHTLY, *OFFLINE, "--timezone", "Mars"], None, "'Mars' is no time zone", 2),
        ([*NIGHTLY, "--backend", "offline"], None, "give one of --more, --target and --target-rows", 2),
        ([*NIGHTLY, *OFFLINE, "--config", "none.toml"], None, "none.toml: no such file", 2),
        ([*NIGHTLY, "--more", "5"], None, "no model is named; give --model", 2),
        ([*NIGHTLY, "--more", "5", "--model", ""], None, "--model: ", 2),
        ([*NIGHTLY, "--more", "1" * 30, "--model", "m"], None, "--more: ", 2),
        ([*NIGHTLY, *OFFLINE, "--max-usd", "3"], None, "a budget in USD needs the price of offline", 2),
        ([*NIGHTLY, *OFFLINE, "--seeds", "none.jsonl"], None, "none.jsonl", 2),
        ([*NIGHTLY, "--more", "5", "--base-url", "http://[::1"], None, "--base-url (", 2),
        ([*NIGHTLY, "--more", "5", "--base-url", "http://me:hunter2@h/v1"], None, "--base-url: ", 2),
    ],
)
def test_a_schedule_that_cannot_be_served_is_one_clear_line(
    prefect: str, tmp_path: Path, options: list[str], url: str | None, wanted: str, code: int,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from selfinstruct.cli.commands import run

    monkeypatch.chdir(tmp_path)
    with temporary_settings({PREFECT_API_URL: url or prefect}):
        assert run(["schedule", "--pool", "p", *options]) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert wanted in said
    assert "hunter2" not in said
    assert not list(tmp_path.iterdir())


def test_a_flow_says_what_generate_would_and_nothing_else(prefect: str, tmp_path: Path) -> None:
    """No telemetry, no warnings; each line is whole, and Prefect has them too."""
    code = (
        "import asyncio, sys; from selfinstruct.scheduling.grow import GrowConfig, grow;"
        "asyncio.run(grow(GrowConfig(pool=sys.argv[1], target=100, backend='offline')))"
    )
    environment = {**os.environ, "PREFECT_API_URL": prefect, "NO_COLOR": "1", "COLUMNS": "300"}
    environment.pop("PREFECT_LOGGING_LEVEL", None)
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "p")], check=True, cwd=ROOT, env=environment,
        capture_output=True, text=True,
    )  # fmt: skip
    lines = found.stderr.splitlines()
    assert found.stdout == ""
    assert any(" of 100 tasks finished" in line for line in lines), found.stderr
    for line in lines:
        assert " | INFO    | Flow run " in line, found.stderr
        if line is lines[0]:
            assert line.endswith(f"growing {tmp_path / 'p'} from 0 to 100 tasks with the built-in offline model")
            continue
        assert "round " in line or "Finished in state Completed" in line or "Beginning flow run" in line, found.stderr
    said = {line.partition(" - ")[2] for line in lines if " - round " in line}
    assert said

    def logged() -> bool:
        return said <= {log.message for log in asked(lambda client: client.read_logs(limit=200))}

    wait_for("Prefect to have these lines", logged, 120)


def test_the_schedule_is_served_as_a_deployment_and_runs(prefect: str, tmp_path: Path) -> None:
    from prefect.exceptions import ObjectNotFound

    from selfinstruct.scheduling.artifacts import label

    pool, file = tmp_path / "nightly", tmp_path / "prices.toml"
    file.write_text('[prices."offline"]\ninput = 1\noutput = 1\n')
    command = [sys.executable, "-m", "selfinstruct", "schedule", "--pool", str(pool), "--cron", "0 2 * * *"]
    environment = {**os.environ, "PREFECT_API_URL": prefect, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    process = subprocess.Popen(
        [*command, "--more", "5", "--backend", "offline", "--max-usd", "2", "--config", file], cwd=ROOT,
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    name = f"grow/{label(pool)}"

    def served() -> Any:
        assert process.poll() is None, process.communicate()[1]
        try:
            return asked(lambda client: client.read_deployment_by_name(name))
        except ObjectNotFound:
            return None

    def is_done() -> bool:
        state = asked(lambda client: client.read_flow_run(run)).state
        assert state is None or not (state.is_failed() or state.is_crashed()), state
        return state is not None and state.message == "the target of 5 tasks is reached"

    try:
        found = wait_for("the deployment", served, 120)
        assert found.schedules[0].schedule.cron == "0 2 * * *"
        given = {"pool": str(pool), "more": 5, "backend": "offline", "max_usd": 2.0, "file": str(file)}
        assert found.parameters == {"config": given}
        run = asked(lambda client: _started(client, name))
        wait_for("a run of it", is_done, 150)
        assert status(pool)["tasks"] == 5
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
