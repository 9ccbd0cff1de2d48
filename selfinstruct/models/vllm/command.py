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
"""Below those that systems give to outgoing connections, so no client takes the port while the server restarts."""
_BY_URL = "the server is for this program alone; run `vllm serve` yourself and name it by --base-url"
_BY_MODEL = "name the model by --model, and a folder to load it from by `model` in [vllm]"
_OURS: Mapping[str, str] = {
    "--host": _BY_URL,
    "--uds": _BY_URL,
    "--api-key": "the program makes up a key for each run",
    "--model": _BY_MODEL,
    "--served-model-name": _BY_MODEL,
}
"""Arguments of vLLM that users cannot set here, and what to do instead."""


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """How vLLM is started and guarded: the table [vllm] of the config file."""

    command: Sequence[str] = ()
    """What is run with `serve MODEL ...` added; empty: `vllm`, wherever it is found."""
    args: Sequence[str] = ()
    """Further arguments of `vllm serve`."""
    env: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    """What is loaded, a folder or a name at huggingface.co; empty: the model's name."""
    start_timeout_s: float = 3600.0
    """For downloading and loading the model."""
    stuck_s: float = 180.0
    """An engine with requests that writes no token for this long is stuck."""
    max_restarts: int = 3
    """Within an hour."""


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
        *_program(options.command), "serve", loaded, *named, "--host", HOST, "--port", str(port),
        "--enable-prompt-tokens-details", "--uvicorn-log-level", "warning", *options.args,
    ]  # fmt: skip


def _program(command: Sequence[str]) -> list[str]:
    """The command that is vLLM: the configured one, the one of our own environment, or the one on PATH."""
    if command:
        program = Path(command[0]).expanduser()
        if shutil.which(program) is None:
            raise ConfigError(
                f"vllm.command: there is no program {program}; give the path of `vllm` in the environment that has it"
            )
        return [str(program), *command[1:]]
    found = shutil.which(Path(sys.executable).parent / "vllm") or shutil.which("vllm")
    if found is None:
        raise ConfigError(
            'vLLM is not installed here: pip install "selfinstruct[vllm]", or install it in an environment of its own '
            "and set `command` in [vllm] of the config file to that one's bin/vllm; a server that runs already is "
            "named by --base-url"
        )
    return [str(found)]


def _folder_or_name(model: str) -> str:
    """The folder, or the file in GGUF, where one is meant, which then must hold a model; else the name as it is."""
    path = Path(model).expanduser()
    is_path = model.startswith(("/", "./", "../", "~")) or model.count("/") > 1
    if not path.exists() and is_path:
        raise ConfigError(
            f"--model: there is no folder {model}; give the folder of a model, or its name such as Qwen/Qwen3-8B"
        )
    if not path.is_dir():
        return str(path) if is_path else model
    if not any((path / name).is_file() for name in ("config.json", "params.json")) and not any(path.glob("*.gguf")):
        raise ConfigError(f"--model: the folder {model} holds no model: it has no config.json")
    return str(path)


def named_port(options: VllmOptions) -> str | None:
    """What the user's arguments give as the port, as it is written; None where they leave it to the program."""
    words = [part for argument in options.args for part in argument.split("=", 1)]
    return [*words, ""][words.index("--port") + 1] if "--port" in words else None


def port_for(options: VllmOptions) -> int:
    """The port the user's arguments name, else a free one.

    Raises:
        ConfigError: the one named is taken, or is no port.
    """
    given = named_port(options)
    if given is None:
        return next(filter(_is_free, random.SystemRandom().sample(_PORTS, len(_PORTS))))
    if not given.isdecimal() or not 0 < int(given) < 65_536:
        raise ConfigError(f"vllm.args: --port wants a number from 1 to 65535, found {given!r}")
    if not _is_free(int(given)):
        raise ConfigError(
            f"vllm.args: port {given} is taken by another program; end that, name another one, or leave --port out "
            "for a free one"
        )
    return int(given)


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError:
            return False
    return True
