"""Many ids in little memory."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_GENERATED = re.compile(r"t[0-9a-f]{20}", re.ASCII)
_WIDTH = 10


class Names:
    """Ids by position. Those of generated tasks ("t" and 20 hexadecimal digits) take ten bytes each."""

    def __init__(self) -> None:
        self._packed = bytearray()
        self._others: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._packed) // _WIDTH

    def __getitem__(self, place: int) -> str:
        other = self._others.get(place)
        return "t" + self._packed[place * _WIDTH : (place + 1) * _WIDTH].hex() if other is None else other

    def append(self, name: str) -> None:
        """Add the id of the next position."""
        if _GENERATED.fullmatch(name):
            self._packed += bytes.fromhex(name[1:])
        else:
            self._others[len(self)] = name
            self._packed += bytes(_WIDTH)

    def nbytes(self) -> int:
        """Bytes held, the few that are not of generated tasks left out."""
        return len(self._packed)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """The ids as arrays."""
        spelled = "\0".join(name.replace("\\", "\\\\").replace("\0", "\\0") for name in self._others.values())
        return {
            "ids": np.frombuffer(bytes(self._packed), np.uint8),
            "other_places": np.array(list(self._others), np.int64),
            "other_ids": np.frombuffer(spelled.encode("utf-8", "surrogatepass"), np.uint8),
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Names:
        """The ids that `to_arrays` wrote."""
        names = Names()
        names._packed = bytearray(arrays["ids"].tobytes())
        spelled = arrays["other_ids"].tobytes().decode("utf-8", "surrogatepass").split("\0")
        restored = (_unescape(name) for name in spelled)
        names._others = dict(zip(arrays["other_places"].tolist(), restored, strict=False))
        return names


def _unescape(name: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\0" if found[1] == "0" else found[1], name)
