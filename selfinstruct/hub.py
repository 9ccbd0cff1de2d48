"""The Hugging Face Hub: datasets that are read from it by name, and exports that are pushed to it."""

from __future__ import annotations

import fnmatch
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from selfinstruct.errors import AccessError, ConfigError
from selfinstruct.given_files import Unreadable

TOKEN = "HF_TOKEN"  # noqa: S105 - the name of the variable
"""The environment variable with the token, which is read from no other place and stored nowhere."""
_ENDPOINT = "HF_ENDPOINT"
_USER = re.compile(r"(?<=://)[^/\s]*@")
_NAME = re.compile(r"hf:/(?:datasets/)?(?P<name>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?:/(?P<place>.+))?")
_ROWS = re.compile(r"(?:.*/)?[^./][^/]*\.(?:jsonl|ndjson|json|csv|tsv|parquet)(?:\.(?:gz|bz2|xz|zst|zip))?")
_SPLIT = re.compile(r"(?<![a-z0-9])(?:(train)|(test)|valid(?:ation)?|dev|val)(?![a-z0-9])")


def said(path: Path) -> str:
    """A path as the user wrote it; `Path` takes one of the two slashes from the name of a dataset on the Hub."""
    return re.sub("^hf:/", "hf://", str(path))


def is_on_hub(path: Path) -> bool:
    """Is this the name of a dataset on the Hub?"""
    return path.parts[:1] == ("hf:",)


def fetched(path: Path, splits: Sequence[str]) -> Path:
    """The file itself, or the one that a name on the Hub means, which is fetched unless it was before.

    Of a dataset or configuration it is the first of `splits` that it has.

    Raises:
        ConfigError: huggingface_hub is missing, or a variable of the environment is wrong.
        AccessError: the Hub cannot be reached, or gives an error.
        Unreadable: there is no such dataset or file, or it is several.
    """
    if not is_on_hub(path):
        return path
    found = _NAME.fullmatch(str(path))
    if found is None:
        wanted = "wanted hf://OWNER/NAME, and after it, if need be, @REVISION and /CONFIG, /CONFIG/SPLIT or /FILE"
        raise Unreadable("no name of a dataset on the Hub", wanted)
    library, token = _library(said(path))
    from huggingface_hub import errors  # noqa: PLC0415 - an optional extra

    api = library.HfApi(token=token or False, library_name="selfinstruct")
    name, revision, place = found["name"], found["revision"], found["place"] or ""
    try:
        about = api.dataset_info(name, revision=revision)
        there = [one.rfilename for one in about.siblings or ()]

        def get(file: str) -> Path:
            return Path(api.hf_hub_download(name, file, repo_type="dataset", revision=about.sha))

        card = get("README.md").read_text("utf-8") if "README.md" in there and place not in there else ""
        return get(place if place in there else _meant(place, there, _configs(card), splits))
    except errors.RevisionNotFoundError:
        raise Unreadable(f"it has no revision {revision}", "name a branch, tag or commit of it") from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        remedy = f"look at owner and name; one that is private, or has terms to accept, needs {TOKEN}"
        raise Unreadable("no such dataset on the Hub", remedy) from None
    except (OSError, errors.HTTPError) as error:
        asked = f"{said(path)}: not fetched from {urlsplit(api.endpoint).hostname}"
        remedy = f"look at the network and {_ENDPOINT}, or name a file of your own"
        raise AccessError(f"{asked} ({_harmless(error, token)}); {remedy}") from error


def _meant(place: str, there: Sequence[str], configs: Sequence[Mapping[str, Any]], splits: Sequence[str]) -> str:
    """The one file that is meant by a configuration, by one with a split, or by nothing more than the dataset."""
    config, _, split = place.partition("/")
    files: dict[str, list[str]] = {}
    for side, file in _files(config, there, configs):
        files.setdefault(side, []).append(file)
    wanted = next((one for one in ([split] if split else [*splits, *files]) if one in files), None)
    if wanted is None:
        known = [str(one.get("config_name")) for one in configs] or [file for file in there if _ROWS.fullmatch(file)]
        has = [f"{config}/{one}" for one in files] if files else known
        raise Unreadable(f"no rows in {place or 'it'}", f"it has {', '.join(has[:8]) or 'no file of rows'}")
    if len(files[wanted]) > 1:
        raise Unreadable(f"{len(files[wanted])} files", f"name one of them after it: {', '.join(files[wanted][:8])}")
    return files[wanted][0]


def _files(config: str, there: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """(split, file) of a configuration: by the dataset's card, else by folders and the words in names."""
    names = [str(one.get("config_name", "default")) for one in configs]
    default = next((name for name, one in zip(names, configs, strict=True) if one.get("default")), "default")
    if (wanted := config or default) in names or (configs and not config):
        about = configs[names.index(wanted) if wanted in names else 0].get("data_files") or ()
        for one in about if isinstance(about, list) else [about]:
            side, paths = (one.get("split", "train"), one.get("path")) if isinstance(one, dict) else ("train", one)
            for path in paths if isinstance(paths, list) else [paths]:
                yield from ((str(side), file) for file in there if fnmatch.fnmatchcase(file, str(path)))
        return
    for file in there:
        if _ROWS.fullmatch(file) and (not config or config in file.split("/")[:-1]):
            word = next(iter(reversed([*_SPLIT.finditer(file.casefold())])), None)
            yield (word[1] or word[2] or "validation") if word else "train", file


def _configs(card: str) -> Sequence[Mapping[str, Any]]:
    """The configurations with files that the head of a card names."""
    head = re.match(r"---\r?\n(.*?)\r?\n---", card, re.DOTALL)
    try:
        found = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        return ()
    configs = found.get("configs") if isinstance(found, dict) else None
    return [one for one in configs or () if isinstance(one, dict) and one.get("data_files")]


def pusher(name: str) -> Callable[[Path], str]:
    """A function that pushes a folder to the dataset repository `name` in one commit and returns the commit's address.

    Name, token and address of the Hub are checked here, before anything is written.

    Raises:
        ConfigError: one of these is wrong, or huggingface_hub is missing.
    """
    library, token = _library("--push-to-hub")
    from huggingface_hub import errors, utils  # noqa: PLC0415

    if not token:
        raise ConfigError(
            f"--push-to-hub: the environment variable {TOKEN} is not set; wanted an access token that may write"
        )
    try:
        utils.validate_repo_id(name)
    except errors.HFValidationError as error:
        raise ConfigError(f"--push-to-hub {name}: no name of a repository; wanted OWNER/NAME") from error

    def push(folder: Path) -> str:
        try:
            return _pushed(library, folder, name, token)
        except (OSError, ValueError, errors.HTTPError) as error:
            raise AccessError(
                f"--push-to-hub {name}: not pushed ({_harmless(error, token)}); the export itself is whole in {folder}"
            ) from error

    return push


def _library(wanted_by: str) -> tuple[Any, str]:
    """huggingface_hub, and the token, which may be empty.

    Raises:
        ConfigError: it is missing, or a variable of the environment is wrong.
    """
    _check_endpoint(wanted_by, os.environ.get(_ENDPOINT, ""))
    try:
        import huggingface_hub  # noqa: PLC0415
        from huggingface_hub import utils  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(f"{wanted_by} needs the package {error.name}: pip install 'selfinstruct[hub]'") from error
    token = os.environ.get(TOKEN, "").strip()
    if not re.fullmatch("[!-~]*", token):  # an error message would repeat it, escaped
        raise ConfigError(f"{wanted_by}: the environment variable {TOKEN} holds characters that no access token has")
    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    return huggingface_hub, token


def _harmless(error: Exception, token: str) -> str:
    """The words of an error on one line, without the token and what else is secret."""
    text = str(error).replace(token, "***") if token else str(error)
    return " ".join(_USER.sub("", text).split())[:400]


def _check_endpoint(wanted_by: str, url: str) -> None:
    """Refuse an address of the Hub on which huggingface_hub would fail."""
    if "@" in url:  # the token would then not be sent
        raise ConfigError(f"{wanted_by}: the environment variable {_ENDPOINT} holds a user or a password; wanted none")
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if url and not is_address:
        raise ConfigError(f"{wanted_by}: the environment variable {_ENDPOINT} holds no URL; wanted https://HOST")


def _pushed(library: Any, folder: Path, name: str, token: str) -> str:
    """Commit all files at once; a new repository is private."""
    api = library.HfApi(token=token, library_name="selfinstruct")
    repository = api.create_repo(name, repo_type="dataset", private=True, exist_ok=True).repo_id
    operations = [
        library.CommitOperationAdd(path_in_repo=path.name, path_or_fileobj=path)
        for path in sorted(folder.iterdir())
        if path.name != ".DS_Store"
    ]
    done = api.create_commit(repository, operations, commit_message="Export by selfinstruct", repo_type="dataset")
    return str(done.commit_url)
