"""Seed files: reading them in the forms people have, and checking them."""

from selfinstruct.seeds.checking import NearDuplicate, SeedReport, check_seeds
from selfinstruct.seeds.faults import Place, SeedFault
from selfinstruct.seeds.likeness import near_duplicates
from selfinstruct.seeds.reading import read_seeds
from selfinstruct.seeds.shipped import default_seeds

__all__ = [
    "NearDuplicate", "Place", "SeedFault", "SeedReport", "check_seeds", "default_seeds", "near_duplicates",
    "read_seeds",
]  # fmt: skip
