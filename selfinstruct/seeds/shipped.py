"""The seeds that come with the package, which go by their names."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from selfinstruct.errors import ConfigError


def shipped() -> Mapping[str, Path]:
    """The files by name, such as `en`: those of the installed package, or of a checkout."""
    for folder in (Path(str(resources.files("selfinstruct"))) / "seed_files", Path(__file__).parents[2] / "seeds"):
        if (folder / "en.jsonl").is_file():
            return {path.stem: path for path in sorted(folder.glob("*.jsonl"))}
    return {}


def default_seeds() -> Path:
    """The seeds of a pool for which none are named.

    Raises:
        ConfigError: they are missing.
    """
    if "en" not in shipped():
        raise ConfigError("the default seeds are missing from this installation; name a file by --seeds")
    return shipped()["en"]


def seed_file(path: Path) -> Path:
    """The file that is meant: one that lies there, or else the shipped one of this name."""
    return path if path.is_file() or path.name != str(path) else shipped().get(path.name, path)
