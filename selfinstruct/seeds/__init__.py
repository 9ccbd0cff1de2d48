"""Reading and checking seed files."""

from selfinstruct.seeds.checking import NearDuplicate, SeedReport, check_seeds
from selfinstruct.seeds.containers import default_seeds, seed_file
from selfinstruct.seeds.reading import read_seeds
from selfinstruct.seeds.rows import Place, SeedFault

__all__ = [
    "NearDuplicate", "Place", "SeedFault", "SeedReport", "check_seeds", "default_seeds",
    "read_seeds", "seed_file",
]  # fmt: skip
