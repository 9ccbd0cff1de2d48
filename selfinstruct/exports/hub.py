"""An export as a dataset repository on the Hugging Face Hub."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selfinstruct.errors import AccessError, ConfigError

TOKEN = "HF_TOKEN"  # noqa: S105 - the name of the variable
"""The environment variable with the token, which is read from no other place and stored nowhere."""
_ENDPOINT = "HF_ENDPOINT"
_USER = re.compile(r"(?<=://)[^/\s]*@")


def pusher(name: str) -> Callable[[Path], str]:
    """A function that pushes a folder to the dataset repository `name` in one commit and returns the commit's address.

    Name, token and address of the Hub are checked here, before anything is written.

    Raises:
        ConfigError: one of these is wrong, or huggingface_hub is missing.
    """
    _check_endpoint(os.environ.get(_ENDPOINT, ""))
    try:
        import huggingface_hub  # noqa: PLC0415 - an optional extra
        from huggingface_hub import errors, utils  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(f"--push-to-hub needs the package {error.name}: pip install 'selfinstruct[hub]'") from error
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise ConfigError(
            f"--push-to-hub: the environment variable {TOKEN} is not set; wanted an access token that may write"
        )
    if not re.fullmatch("[!-~]+", token):  # an error message would repeat it, escaped
        raise ConfigError(f"--push-to-hub: the environment variable {TOKEN} holds characters that no access token has")
    try:
        utils.validate_repo_id(name)
    except errors.HFValidationError as error:
        raise ConfigError(f"--push-to-hub {name}: no name of a repository; wanted OWNER/NAME") from error
    if not sys.stderr.isatty():
        utils.disable_progress_bars()

    def push(folder: Path) -> str:
        try:
            return _pushed(huggingface_hub, folder, name, token)
        except (OSError, ValueError, errors.HTTPError) as error:
            said = " ".join(_USER.sub("", str(error).replace(token, "***")).split())
            raise AccessError(
                f"--push-to-hub {name}: not pushed ({said[:400]}); the export itself is whole in {folder}"
            ) from error

    return push


def _check_endpoint(url: str) -> None:
    """Refuse an address of the Hub on which huggingface_hub would fail."""
    if "@" in url:  # the token would then not be sent
        raise ConfigError(
            f"--push-to-hub: the environment variable {_ENDPOINT} holds a user or a password; wanted none"
        )
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if url and not is_address:
        raise ConfigError(f"--push-to-hub: the environment variable {_ENDPOINT} holds no URL; wanted https://HOST")


def _pushed(huggingface_hub: Any, folder: Path, name: str, token: str) -> str:
    """Commit all files at once; a new repository is private."""
    api = huggingface_hub.HfApi(token=token, library_name="selfinstruct")
    repository = api.create_repo(name, repo_type="dataset", private=True, exist_ok=True).repo_id
    operations = [
        huggingface_hub.CommitOperationAdd(path_in_repo=path.name, path_or_fileobj=path)
        for path in sorted(folder.iterdir())
        if path.name != ".DS_Store"
    ]
    done = api.create_commit(repository, operations, commit_message="Export by selfinstruct", repo_type="dataset")
    return str(done.commit_url)
