"""Reading vLLM's log: what it is doing while it starts, and why it ended, each as a sentence a user can act on.

vLLM's words differ between releases and are nobody's interface. What is not known here is shown as vLLM said it.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from selfinstruct.errors import AccessError, ConfigError, SelfInstructError

_MOST_READ = 1024 * 1024
_LONGEST_LINE = 300
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

# A pattern, whatever the case of its letters, and what to say of a line that it is found in: {0} is its first group.
_DOING: Sequence[tuple[str, str]] = (
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


class _Fault(NamedTuple):
    pattern: str
    says: str
    error: type[SelfInstructError] = AccessError


# What caused the others comes first. {0} is the first group of the pattern, {line} the whole line.
_FAULTS: Sequence[_Fault] = (
    _Fault(
        r"unrecognized arguments: (.*)", "vLLM does not know {0}; correct `args` in [vllm] of the config file",
        ConfigError,
    ),
    _Fault(
        r"error: (argument .*|the following arguments are required.*)",
        "vLLM refuses its arguments: {0}; correct `args` in [vllm] of the config file", ConfigError,
    ),
    _Fault(
        r"Errno (?:98|48)\b|address already in use",
        "its port is taken by another program; end that, or leave `--port` out of `args` in [vllm] for a free one",
        ConfigError,
    ),
    _Fault(
        r"CPU Generator does not use offset",
        "vLLM's CPU build cannot split the prompt of a seeded request; add \"--no-enable-chunked-prefill\" to `args` "
        "in [vllm] of the config file",
        ConfigError,
    ),
    _Fault(
        r"Failed to infer device type|No CUDA GPUs are available|Found no NVIDIA driver|no CUDA-capable device"
        r"|libcuda\.so\.1: cannot open|NVML Shared Library Not Found|CUDA driver version is insufficient"
        r"|HIP error: no ROCm-capable device|driver on your system is too old",
        "vLLM finds no GPU it can use ({line}); see whether nvidia-smi shows one, or name a running server by "
        "--base-url",
    ),
    _Fault(
        r"(?:tensor parallel size|world size) \(?(\d+)\)?.*(?:number of available GPUs|available devices)",
        "{0} GPUs are asked for, which is more than there are ({line}); lower --tensor-parallel-size in `args` of "
        "[vllm]",
        ConfigError,
    ),
    _Fault(
        r"Free memory on device.*less than desired",
        "the GPU's memory is not free ({line}); end what else uses it, or set --gpu-memory-utilization in `args` of "
        "[vllm]",
    ),
    _Fault(
        r"No available memory for the cache blocks|larger than the available KV cache memory"
        r"|maximum number of tokens that can be stored in KV cache",
        "the model leaves too little memory for its cache ({line}); set a smaller --max-model-len, more "
        "--gpu-memory-utilization, or more GPUs by --tensor-parallel-size in `args` of [vllm]",
    ),
    _Fault(
        r"out of memory|OutOfMemoryError|can't allocate memory|cannot allocate memory|std::bad_alloc|^MemoryError",
        "there is not enough memory for this model ({line}); take a smaller or quantized one, a smaller "
        "--max-model-len, or more GPUs by --tensor-parallel-size in `args` of [vllm]",
    ),
    _Fault(
        r"No space left on device",
        "a disk is full ({line}); free some space, or set HF_HOME to a folder on another disk",
    ),
    _Fault(
        r"GatedRepo|gated repo|401 Client Error|access to model .* is restricted",
        "the model's publisher wants its terms accepted, or there is no such model; accept them on its page at "
        "huggingface.co and set HF_TOKEN ({line})",
    ),
    _Fault(
        r"couldn't connect to 'https://huggingface|Failed to resolve 'huggingface|LocalEntryNotFound"
        r"|OfflineModeIsEnabled|outgoing traffic has been disabled|Cannot reach https://huggingface",
        "the model is not on this machine, and huggingface.co cannot be reached; see to the network or "
        "HF_HUB_OFFLINE, or name a folder that holds the model ({line})",
    ),
    _Fault(
        r"RepositoryNotFound|404 Client Error|Repository Not Found|Repo id must be|Invalid repository ID"
        r"|is not a valid model identifier|is not a local folder",
        "there is no such model, neither as a folder nor at huggingface.co; correct --model ({line})",
    ),
    _Fault(
        r"does not appear to have a file named|no file named .*config\.json|Error no file named",
        "the folder holds no model that vLLM can load ({line})", ConfigError,
    ),
    _Fault(
        r"architectures? .* (?:is|are) not supported|does not recognize this architecture|no vLLM implementation",
        "this vLLM does not know the model's architecture ({line}); update vLLM or take another model",
    ),
    _Fault(
        r"max_model_len \((\d+)\) is greater than the derived",
        "--max-model-len {0} is more than the model was made for; lower it in `args` of [vllm]", ConfigError,
    ),
    _Fault(
        r"Bfloat16 is only supported on GPUs",
        'this GPU cannot compute in bfloat16; add "--dtype", "half" to `args` in [vllm]', ConfigError,
    ),
    _Fault(
        r"must be divisible by tensor parallel size|divisible by the tensor parallel",
        "the model cannot be split over that many GPUs ({line}); change --tensor-parallel-size in `args` of [vllm]",
        ConfigError,
    ),
    _Fault(
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
        self._start = self._news_from = 0

    def begin(self) -> None:
        """From here on it is about another start."""
        self._start = self._news_from = self.path.stat().st_size

    def news(self) -> str:
        """What vLLM does by the lines written since the last call, in words; empty where they say nothing."""
        text = self._read(self._news_from)
        self._news_from += len(text)
        return next(filter(None, map(doing, reversed(_lines(text)))), "")

    def tail(self, most: int) -> list[str]:
        """The last lines of this start, without colours and not too long."""
        return [line for line in _lines(self._read(self._start)) if line.strip()][-most:]

    def reason(self, exit_code: int | None) -> SelfInstructError:
        """Why this start failed: the fault that the log tells of, else how the process ended (None: it did not)."""
        return reason(_lines(self._read(self._start)), exit_code)

    def _read(self, start: int) -> bytes:
        """What is written from there on, of much only the last part; empty where somebody removed the file."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(start, file.seek(0, os.SEEK_END) - _MOST_READ))
                return file.read()
        except OSError:
            return b""


def _lines(text: bytes) -> list[str]:
    """Progress bars write over themselves by carriage returns: each state is a line."""
    lines = re.split(r"[\r\n]+", _COLOUR.sub("", text.decode("utf-8", "replace")))
    return ["".join(filter(str.isprintable, line))[:_LONGEST_LINE] for line in lines]


def doing(line: str) -> str:
    """What a line of the log says of the start, in words; empty where it is of no interest."""
    line = _PREFIX.sub("", line)
    found = ((re.search(pattern, line, re.IGNORECASE), says) for pattern, says in _DOING)
    return next((says.format(*match.groups()) for match, says in found if match), "")


def reason(lines: Sequence[str], exit_code: int | None) -> SelfInstructError:
    """Why vLLM ended, by the lines of its log and its exit code (negative: a signal; None: it did not end)."""
    prefixes = [(_PREFIX.match(line), line) for line in lines]
    told = [line[prefix.end() :].strip() for prefix, line in prefixes if prefix and prefix["level"] not in _NO_FAULT]
    for pattern, says, error in _FAULTS:
        for line in told:
            if found := re.search(pattern, line, re.IGNORECASE):
                return error(says.format(*found.groups(""), line=line))
    if exit_code == -signal.SIGKILL:
        return AccessError("vLLM was killed, most likely since the machine ran out of memory")
    ended = f"ended with signal {-exit_code}" if exit_code and exit_code < 0 else f"ended with exit code {exit_code}"
    if exit_code is None:
        ended = "did not come up"
    errors = [found[0] for line in told if (found := _AN_ERROR.match(line))]
    return AccessError(": ".join([f"vLLM {ended}", *errors[-1:]]))
