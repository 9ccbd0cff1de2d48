"""`python -m selfinstruct`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from selfinstruct.cli.interruption import hear


def main() -> None:
    """Run the command line; expected failures become one clear line and an exit code."""
    if sys.platform == "win32":
        sys.exit("selfinstruct runs on Linux and macOS; on Windows use it inside WSL (wsl --install)")
    hear()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # on busy cores, more take many times the CPU for a Vendi score
    try:
        from selfinstruct.cli.commands import run  # noqa: PLC0415 - after the check of the platform
        from selfinstruct.cli.streams import guard  # noqa: PLC0415

        exit_code = guard()
        called = Path(sys.argv[0]).name
        sys.exit(exit_code(run(sys.argv[1:], "python -m selfinstruct" if called == "__main__.py" else called)))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
