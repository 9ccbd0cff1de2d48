"""Which command starts vLLM, with which arguments, on which port; all that can be known to be wrong before it runs."""

from __future__ import annotations

import random
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from selfinstruct.errors import ConfigError

HOST = "127.0.0.1"
_PORTS = range(20_000, 32_000)
"""Below those that systems give to outgoing connections: a client that knocks while the server restarts takes none."""
_OURS: Mapping[str, str] = {
    "--host": "the server is for this program alone; run `vllm serve` yourself and name it by --base-url",
    "--uds": "the program talks to it by a port; run `vllm serve` yourself and name it by --base-url",
    "--api-key": "the program makes up a key for each run",
    "--model": "name the model by --model, and a folder to load it from by `model` in [vllm]",
    "--served-model-name": "name the model by --model, and a folder to load it from by `model` in [vllm]",
}
"""Arguments of vLLM that are not the user's to set here, and what to do instead."""


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """How vLLM is started and guarded: the table [vllm] of the config file."""

    command: Sequence[str] = ()
    """What is run with `serve MODEL ...` behind it; empty: `vllm`, wherever it is found."""
    args: Sequence[str] = ()
    """Further arguments of `vllm serve`."""
    env: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    """What is loaded, a folder or a name at huggingface.co; empty: the model's name."""
    start_timeout_s: float = 3600.0
    """For downloading and loading the model."""
    stuck_s: float = 180.0
    """With requests under way and no token for so long, the engine is taken for stuck."""
    max_restarts: int = 3
    """Within an hour."""


def find_command(options: VllmOptions) -> list[str]:
    """The command that is vLLM: the configured one, the one of our own environment, or the one on PATH.

    Raises:
        ConfigError: there is none.
    """
    if options.command:
        program = Path(options.command[0]).expanduser()
        if shutil.which(program) is None:
            raise ConfigError(
                f"vllm.command: there is no program {program}; give the path of `vllm` in the environment that has it"
            )
        return [str(program), *options.command[1:]]
    beside = Path(sys.executable).parent / "vllm"
    found = str(beside) if shutil.which(beside) else shutil.which("vllm")
    if found is None:
        raise ConfigError(
            'vLLM is not installed here: pip install "selfinstruct[vllm]", or install it in an environment of its own '
            "and set `command` in [vllm] of the config file to that one's bin/vllm; a server that runs already is "
            "named by --base-url"
        )
    return [found]


def serve_command(options: VllmOptions, model: str, port: int) -> list[str]:
    """The whole command line that serves a model under its name on this port.

    Raises:
        ConfigError: the command, an argument or the model's folder cannot be right.
    """
    for argument in options.args:
        name = argument.partition("=")[0].replace("_", "-")
        if name in _OURS:
            raise ConfigError(f"vllm.args: {name} cannot be set: {_OURS[name]}")
    loaded = _folder_or_name(options.model or model)
    named = [] if loaded == model else ["--served-model-name", model]
    return [
        *find_command(options), "serve", loaded, *named, "--host", HOST, "--port", str(port),
        "--enable-prompt-tokens-details", "--uvicorn-log-level", "warning", *options.args,
    ]  # fmt: skip


def port_for(options: VllmOptions) -> int:
    """The port the user's arguments name, else a free one.

    Raises:
        ConfigError: the one named is taken, or is no port.
    """
    words = [part for argument in options.args for part in argument.split("=", 1)]
    if "--port" not in words:
        return _free_port()
    given = words[words.index("--port") + 1] if words[-1] != "--port" else ""
    if not given.isdecimal() or not 0 < int(given) < 65_536:
        raise ConfigError(f"vllm.args: --port wants a number from 1 to 65535, found {given!r}")
    if not _is_free(int(given)):
        raise ConfigError(
            f"vllm.args: port {given} is taken by another program; end that, name another one, or leave --port out "
            "for a free one"
        )
    return int(given)


def chooses_port(options: VllmOptions) -> bool:
    """Whether the user names the port."""
    return any(argument.partition("=")[0] == "--port" for argument in options.args)


def _free_port() -> int:
    for port in random.SystemRandom().sample(_PORTS, 200):
        if _is_free(port):
            return port
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError:
            return False
    return True


def _folder_or_name(model: str) -> str:
    """What to give to vLLM: the folder where one is meant, which then must hold a model, else the name as it is.

    Raises:
        ConfigError: it is meant as a folder, and there is none with a model in it.
    """
    path = Path(model).expanduser()
    is_meant = model.startswith(("/", "./", "../", "~")) or model.count("/") > 1
    if not is_meant and not path.is_dir():
        return model
    if path.is_file():
        return str(path)  # GGUF
    if not path.is_dir():
        raise ConfigError(
            f"--model: there is no folder {model}; give the folder of a model, or its name such as {_LIKE}"
        )
    if not any((path / name).is_file() for name in ("config.json", "params.json")) and not any(path.glob("*.gguf")):
        raise ConfigError(f"--model: the folder {model} holds no model: it has no config.json")
    return str(path)


_LIKE = "Qwen/Qwen3-8B"
