"""Reading vLLM's log: what it is doing while it starts, and why it ended, each as a sentence a user can act on.

vLLM's words differ between releases and are nobody's interface. What is not known here is shown as vLLM said it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.errors import AccessError, ConfigError, SelfInstructError

_MOST_READ = 1024 * 1024
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PREFIX = re.compile(
    r"^(?:\([^()]*pid=\d+\)\s*)*"  # which process
    r"(?:(?P<level>[A-Z]+) \d\d-\d\d \d\d:\d\d:\d\d (?:\[[^\]]*\] ?)*)?"  # time and place
)
_NO_FAULT = {"DEBUG", "INFO", "WARNING"}
_AN_ERROR = re.compile(
    r"^(?:[\w.]*\.)?(?!EngineDeadError)\w*(?:Error|Exception|Interrupt)\b(?!.*(?:root cause|initialization failed)).*"
)
"""That tells more than that the engine is dead."""
_LONGEST_LINE = 300

_DOING: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern, re.IGNORECASE), says)
    for pattern, says in (
        (r"checkpoint shards.*?(\d+)/(\d+)", "loading weights, {0} of {1} files"),
        (r"Starting to load model", "loading weights"),
        (r"Time spent downloading weights.*?([\d.]+) ?s", "weights downloaded in {0} s"),
        (r"(?:Downloading|Fetching) .*?(\d+)%", "downloading, {0} %"),
        (r"(?:Downloading|Fetching) (?:weights|model|\d+ files)", "downloading the model"),
        (r"(?:Model loading|Loading weights) took (.*)", "weights loaded, {0}"),
        (r"Capturing CUDA ?graphs?", "capturing CUDA graphs"),
        (r"Graph capturing finished in (\S+ secs?)", "CUDA graphs captured in {0}"),
        (r"torch\.compile t(?:akes|ook) ([\d.]+) ?s", "compiled in {0} s"),
        (r"Compiling a graph|Dynamo bytecode transform|Start compiling", "compiling"),
        (r"KV cache size: ([\d,]+) tokens", "its cache holds {0} tokens"),
        (r"Warming up", "warming up"),
    )
)


@dataclass(frozen=True, slots=True)
class _Reason:
    """A fault that is known: how the log shows it, and what to say of it."""

    pattern: re.Pattern[str]
    says: str
    error: Callable[[str], SelfInstructError]


def _known(pattern: str, says: str, error: Callable[[str], SelfInstructError] = AccessError) -> _Reason:
    return _Reason(re.compile(pattern, re.IGNORECASE), says, error)


# What caused the others comes first. {0} is the first group of the pattern, {line} the whole line.
_REASONS: Sequence[_Reason] = (
    _known(
        r"unrecognized arguments: (.*)", "vLLM does not know {0}; correct `args` in [vllm] of the config file",
        ConfigError,
    ),
    _known(
        r"error: (argument .*|the following arguments are required.*)",
        "vLLM refuses its arguments: {0}; correct `args` in [vllm] of the config file", ConfigError,
    ),
    _known(
        r"Errno (?:98|48)\b|address already in use",
        "its port is taken by another program; end that, or leave `--port` out of `args` in [vllm] for a free one",
        ConfigError,
    ),
    _known(
        r"CPU Generator does not use offset",
        "vLLM's CPU build cannot split the prompt of a seeded request; add \"--no-enable-chunked-prefill\" to `args` "
        "in [vllm] of the config file",
        ConfigError,
    ),
    _known(
        r"Failed to infer device type|No CUDA GPUs are available|Found no NVIDIA driver|no CUDA-capable device"
        r"|libcuda\.so\.1: cannot open|NVML Shared Library Not Found|CUDA driver version is insufficient"
        r"|HIP error: no ROCm-capable device|driver on your system is too old",
        "vLLM finds no GPU it can use ({line}); see whether nvidia-smi shows one, or name a running server by "
        "--base-url",
    ),
    _known(
        r"(?:tensor parallel size|world size) \(?(\d+)\)?.*(?:number of available GPUs|available devices)",
        "{0} GPUs are asked for, which is more than there are ({line}); lower --tensor-parallel-size in `args` of "
        "[vllm]",
        ConfigError,
    ),
    _known(
        r"Free memory on device.*less than desired",
        "the GPU's memory is not free ({line}); end what else uses it, or set --gpu-memory-utilization in `args` of "
        "[vllm]",
    ),
    _known(
        r"No available memory for the cache blocks|larger than the available KV cache memory"
        r"|maximum number of tokens that can be stored in KV cache",
        "the model leaves too little memory for its cache ({line}); set a smaller --max-model-len, more "
        "--gpu-memory-utilization, or more GPUs by --tensor-parallel-size in `args` of [vllm]",
    ),
    _known(
        r"out of memory|OutOfMemoryError|can't allocate memory|cannot allocate memory|std::bad_alloc|^MemoryError",
        "there is not enough memory for this model ({line}); take a smaller or quantized one, a smaller "
        "--max-model-len, or more GPUs by --tensor-parallel-size in `args` of [vllm]",
    ),
    _known(
        r"No space left on device",
        "a disk is full ({line}); free some space, or set HF_HOME to a folder on another disk",
    ),
    _known(
        r"GatedRepo|gated repo|401 Client Error|access to model .* is restricted",
        "the model's publisher wants its terms accepted, or there is no such model; accept them on its page at "
        "huggingface.co and set HF_TOKEN ({line})",
    ),
    _known(
        r"couldn't connect to 'https://huggingface|Failed to resolve 'huggingface|LocalEntryNotFound"
        r"|OfflineModeIsEnabled|outgoing traffic has been disabled|Cannot reach https://huggingface",
        "the model is not on this machine, and huggingface.co cannot be reached; see to the network or "
        "HF_HUB_OFFLINE, or name a folder that holds the model ({line})",
    ),
    _known(
        r"RepositoryNotFound|404 Client Error|Repository Not Found|Repo id must be|Invalid repository ID"
        r"|is not a valid model identifier|is not a local folder",
        "there is no such model, neither as a folder nor at huggingface.co; correct --model ({line})",
    ),
    _known(
        r"does not appear to have a file named|no file named .*config\.json|Error no file named",
        "the folder holds no model that vLLM can load ({line})", ConfigError,
    ),
    _known(
        r"architectures? .* (?:is|are) not supported|does not recognize this architecture|no vLLM implementation",
        "this vLLM does not know the model's architecture ({line}); update vLLM or take another model",
    ),
    _known(
        r"max_model_len \((\d+)\) is greater than the derived",
        "--max-model-len {0} is more than the model was made for; lower it in `args` of [vllm]", ConfigError,
    ),
    _known(
        r"Bfloat16 is only supported on GPUs",
        'this GPU cannot compute in bfloat16; add "--dtype", "half" to `args` in [vllm]', ConfigError,
    ),
    _known(
        r"must be divisible by tensor parallel size|divisible by the tensor parallel",
        "the model cannot be split over so many GPUs ({line}); change --tensor-parallel-size in `args` of [vllm]",
        ConfigError,
    ),
    _known(
        r"^\w*(?:ModuleNotFoundError|ImportError|PackageNotFoundError)\b|undefined symbol"
        r"|cannot open shared object file|operator \S+ does not exist",
        "this installation of vLLM is broken ({line}); install it in an environment of its own and name that one's "
        "`vllm` as `command` in [vllm]",
    ),
)  # fmt: skip


class Log:
    """vLLM's log file, from where this program began to write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.start = path.stat().st_size if path.exists() else 0
        self._news_from = self.start

    def begin(self) -> None:
        """From here on it is about another start."""
        self.start = self._news_from = self.path.stat().st_size

    def news(self) -> str:
        """What vLLM does by the lines written since this was called last, in words; empty where they say nothing."""
        text = self._read(self._news_from)
        self._news_from += len(text)
        return next(filter(None, map(doing, reversed(_lines(text)))), "")

    def tail(self, most: int) -> list[str]:
        """The last lines of this start, without colours and at bearable length."""
        return [line for line in _lines(self._read(self.start)) if line.strip()][-most:]

    def reason(self, exit_code: int | None) -> SelfInstructError:
        """Why this start failed: the fault that the log tells of, else how the process ended (None: it did not)."""
        return reason(_lines(self._read(self.start)), exit_code)

    def _read(self, start: int) -> bytes:
        """What stands from there on, the last of it where it is much; empty where somebody removed the file."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(start, file.seek(0, os.SEEK_END) - _MOST_READ))
                return file.read()
        except OSError:
            return b""


def doing(line: str) -> str:
    """What a line of the log says of the start, in words; empty where it is of no interest."""
    for pattern, says in _DOING:
        if found := pattern.search(_PREFIX.sub("", line)):
            return says.format(*found.groups())
    return ""


def reason(lines: Sequence[str], exit_code: int | None) -> SelfInstructError:
    """Why vLLM ended, by the lines of its log and its exit code (negative: a signal; None: it did not end)."""
    told = [_PREFIX.sub("", line) for line in lines if _level(line) not in _NO_FAULT]
    for known in _REASONS:
        for line in told:
            if found := known.pattern.search(line):
                groups = [group or "" for group in found.groups()]
                return known.error(known.says.format(*groups, line=line.strip()))
    if exit_code == -9:
        return AccessError("vLLM was killed, most likely since the machine ran out of memory")
    ended = "did not come up" if exit_code is None else f"ended with {how_it_ended(exit_code)}"
    errors = [found[0] for line in told if (found := _AN_ERROR.match(line.strip()))]
    return AccessError(f"vLLM {ended}{': ' + errors[-1] if errors else ''}")


def how_it_ended(exit_code: int) -> str:
    """An exit code in words."""
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


def _lines(text: bytes) -> list[str]:
    """Progress bars write over themselves by carriage returns: each state is a line."""
    lines = re.split(r"[\r\n]+", text.decode("utf-8", "replace"))
    return ["".join(char for char in _COLOUR.sub("", line) if char.isprintable())[:_LONGEST_LINE] for line in lines]


def _level(line: str) -> str:
    found = _PREFIX.match(line)
    return (found and found["level"]) or ""
