"""The rules for the parameters of flows, which Prefect stores and shows, and which anyone who may start a run sets.

Prefect's server checks parameters by their JSON schema before it stores them, so each rule is also a pattern there. The
checks here give clearer messages.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from prefect.runtime import flow_run
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from selfinstruct.config.sections import OPTIONS
from selfinstruct.models.urls import as_base_url

MOST = 1_000_000_000
"""The largest count; databases and Prefect's own API end at 64 bits."""

_URL = r"^https?://(\[[0-9A-Fa-f:.]+\]|[^\[\]/@?#\s:]+)(:([0-5]?[0-9]{1,4}|6[0-5][0-9]{3}))?(/[^?#\s]*)?$"
_VARIABLE = (
    r"^(?!PREFECT|PYTHON|LD_|DYLD_)([A-Z][A-Z0-9_]*)?"
    r"((KEY|TOKEN|SECRET|PASSWORD|PASSPHRASE|CREDENTIALS?)(_ID)?|_(PASS|PAT|AUTH))[0-9_]*$"
)
_BLOCK = r"^[a-z0-9-]+$"
_KEY = (  # each part has only one possible start, so that no text takes long
    r"(?<![\w./-])([spr]k[-_]\w{3}|(hf|gsk|r8|npm|gh[pousr]|github_pat|dop_v1|tgp_v1)_[A-Za-z0-9_]{3,}(?![\w./-])"
    r"|(glpat|nvapi|pypi|xox[abeprs])-\w{3}|(AKIA|ASIA|AIza)[0-9A-Za-z_-]{6}|eyJ[\w-]{6,}\.)"
    r"|(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS)=\S"
    r"|(?<!\w)(--?([a-z0-9]+[-_])*(api[-_]?key|secret([-_]key)?|password|passwd|passphrase"
    r"|(api|access|auth|bearer|hub|hf|wandb)[-_]token)[=\s]|--?token[=\s])\s*\S"
    r"|(?<![\w-])([a-z0-9]+_)*(api_?key|secret|password|(?<!pad_)(?<!eos_)(?<!bos_)(?<!unk_)token)=\S"
    r"|[Bb]earer\s+\S|://[^/\s@:]*:[^/\s@]+@"
)
"""A key in a command: the forms of well-known keys, NAME_KEY=..., --api-key ..., user:password@."""


def _url(url: str) -> str:
    as_base_url(url)
    if not re.search(_URL, url):
        raise ValueError(
            "wanted an http:// or https:// URL such as http://localhost:8000/v1, without user, password or query, "
            "which Prefect would store; one that needs these belongs in the file"
        )
    return url


def _secrets(secrets: dict[str, str]) -> dict[str, str]:
    for variable, block in secrets.items():
        if not re.search(_VARIABLE, variable):
            raise ValueError(
                f"{variable!r} is no name for a key; wanted a variable that ends in KEY, TOKEN, SECRET, PASSWORD or "
                "CREDENTIALS, such as OPENAI_API_KEY, and none that the system, Python or Prefect obeys"
            )
        if not re.search(_BLOCK, block) or re.search(_KEY, block):
            raise ValueError(
                f"{variable}: wanted the name of a Secret block, in lower-case letters, digits and dashes, not a key"
            )
    return secrets


def _command(command: str) -> str:
    if re.search(_KEY, command):
        raise ValueError(
            "this looks as if it holds a key, and Prefect stores parameters in the clear; name the key under secrets, "
            "or in the worker's environment, and let the program read its variable"
        )
    return command


Url = Annotated[str, AfterValidator(_url), Field(json_schema_extra={"pattern": _URL})]
Secrets = Annotated[
    dict[str, str],
    AfterValidator(_secrets),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": _VARIABLE},
            "additionalProperties": {"type": "string", "pattern": _BLOCK, "not": {"pattern": _KEY}},
        }
    ),
]
Command = Annotated[str, AfterValidator(_command)]
NO_KEY: dict[str, Any] = {"not": {"type": "string", "pattern": _KEY}}
"""The rule of `Command` as a JSON schema for the field itself, so that Prefect names the field in its error."""


_BOUNDS = {"ge", "gt", "le", "min_length"}


class Parameters(BaseModel):
    """The parameters of all flows."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    pool: Path = Field(description="The pool's folder.")
    secrets: Secrets = Field(
        {}, description="Keys: environment variable -> name of the Prefect Secret block that holds its value."
    )


def setting(name: str, **more: Any) -> Any:
    """A setting as a parameter: the description and the bounds of its option, and more bounds."""
    one = OPTIONS[name]
    bounds = {
        bound: getattr(rule, bound) for rule in one.field.metadata for bound in rule.__slots__ if bound in _BOUNDS
    }
    return Field(None, description=one.help, **(bounds | more))


def run_name() -> str:
    """The name of a flow run: its pool and its goal, as in "mine +200", or what it does, as in "mine publish"."""
    config = flow_run.parameters.get("config")
    given: Mapping[str, Any] = config if isinstance(config, dict) else config.__dict__ if config else {}
    words = [Path(str(given.get("pool", ""))).resolve().name or "pool"]
    for name, form in (("more", "+{}"), ("target", "to {}"), ("target_rows", "to {} rows"), ("version", "version {}")):
        if given.get(name) is not None:
            words.append(form.format(given[name]))
    if len(words) == 1:
        words.append(str(flow_run.flow_name or ""))
    return " ".join(words)
