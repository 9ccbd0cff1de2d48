"""Which settings keep right rows? `python benchmarks/truth.py [--tasks N] [--base-url URL --model NAME]`.

The tasks of the pool are questions of the package reasoning-gym, which knows the right answers. `offline-server`
proposes them out of a file; without `--base-url` it answers and judges them too, wrong at rates of our choice. For each
setting a pool of N tasks with a row is grown. The table says how many rows were kept and refused, how many of each are
right by reasoning-gym's own check, and how many requests that took.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import selfinstruct as si
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.short_answers import final_answer

try:
    import reasoning_gym
except ImportError:
    raise SystemExit("benchmarks/truth.py needs another package: pip install reasoning-gym") from None

KINDS = (
    "basic_arithmetic", "chain_sum", "gcd", "lcm", "simple_equations", "time_intervals", "calendar_arithmetic",
    "letter_counting", "leg_counting", "spell_backward", "family_relationships", "gsm_symbolic",
)  # fmt: skip
"""Short definite answers: numbers, and in half of the kinds a story or words around them."""
ALONE = "Reply with the answer alone."
QUIRKS = "hard=20%,wrong=20%,judge_wrong=10%"
"""Of the model without `--base-url`: a fifth of the questions is beyond it, and one in five other answers is a slip."""
WEAK = "hard=60%,wrong=20%"
"""Of the weak model of a band, where none is named."""
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "nothing": {},
    "five answers": {"agreement": {"answers": 5}},
    "judge": {"judge": {"enabled": True}},
    "five answers, judge": {"agreement": {"answers": 5}, "judge": {"enabled": True}},
    "best of four": {"recipe": {"steps": ["sample"]}},
    "best of four, judge": {"recipe": {"steps": ["sample", "judge"]}, "judge": {"enabled": True}},
    "band": {"recipe": {"steps": ["attempts"]}},
    "five answers, band": {"recipe": {"steps": ["attempts"]}, "agreement": {"answers": 5}},
}
"""What is compared: keywords of `generate`."""


class Question:
    """A question of reasoning-gym, and whether an answer to it is right."""

    def __init__(self, dataset: Any, entry: Mapping[str, Any]) -> None:
        self.text = " ".join(f"{entry['question']} {ALONE}".split())
        self.answer = str(entry["answer"])
        self._dataset, self._entry = dataset, entry

    def is_right(self, output: str) -> bool:
        """By reasoning-gym, of what an output comes to."""
        return bool(self._dataset.score_answer(final_answer(output), self._entry) == 1)


def questions(each: int) -> Iterator[Question]:
    for kind in KINDS:
        dataset = reasoning_gym.create_dataset(kind, size=each, seed=1)
        yield from (Question(dataset, entry) for entry in dataset)


def grown(pool: Path, asked: Mapping[str, Question], settings: Mapping[str, Any]) -> str:
    """What a pool with these settings came to, as cells of the table."""
    done = si.generate(pool, quiet=True, rouge_threshold=1, **settings)
    rows, tasks, gone = done.rows(), done.tasks().set_index("id"), done.rejections().query("kind == 'instance'")
    kept = right(asked, rows.instruction, rows.output)
    refused = right(asked, tasks.instruction[gone.task_id], gone.text)
    return f"{len(kept):,} | {share(kept)} | {len(refused):,} | {share(refused)} | {len(done.answers()):,}"


def right(asked: Mapping[str, Question], instructions: Iterable[str], outputs: Iterable[str]) -> list[bool]:
    return [asked[one].is_right(output) for one, output in zip(instructions, outputs, strict=True)]


def share(found: Sequence[bool]) -> str:
    return f"{sum(found) / len(found):.1%}" if found else "-"


def main(given: argparse.Namespace) -> None:
    """Grow a pool for each setting and print what came of it."""
    asked = {one.text: one for one in questions(4 * given.tasks // len(KINDS) + 1)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "questions.jsonl"
        lines = (json.dumps({"question": one.text, "answer": one.answer}) for one in asked.values())
        file.write_text("\n".join(lines), encoding="utf-8")
        servers = (OfflineServer(tasks=file, quirk=quirk) for quirk in ("none", given.quirk, WEAK))
        with ExitStack() as stack:
            asks, answers, weak = (stack.enter_context(server) for server in servers)
            source = {"name": "offline", "base_url": asks.base_url}
            model = {"name": given.model, "base_url": given.base_url or answers.base_url}
            model |= {"max_tokens": given.max_tokens} if given.max_tokens else {}
            stages = {
                "propose": source, "inputs": source, "respond": {"temperature": 0.7},
                "weak": {"name": given.weak_model or "offline", "base_url": given.weak_url or weak.base_url},
            }  # fmt: skip
            print(f"{given.tasks} tasks; answered by {given.model}{'' if given.base_url else f' with {given.quirk}'}")
            print("| setting | rows kept | right | refused | right | requests |\n|---|--:|--:|--:|--:|--:|")
            for number, name in enumerate(given.settings):
                wanted = {"target": given.tasks, "model": model, "stages": stages, **SETTINGS[name]}
                print(f"| {name} | {grown(Path(folder) / str(number), asked, wanted)} |", flush=True)


def parsed(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=240, help="tasks of each pool")
    parser.add_argument("--quirk", default=QUIRKS, help="how the built-in server errs")
    parser.add_argument("--base-url", help="a real model that answers and judges")
    parser.add_argument("--model", default="offline", help="its name")
    parser.add_argument("--weak-url", help="a weaker real model, for the band")
    parser.add_argument("--weak-model", help="its name")
    parser.add_argument("--max-tokens", type=int, help="most tokens of an answer")
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS, metavar="NAME")
    return parser.parse_args(given)


if __name__ == "__main__":
    main(parsed())
