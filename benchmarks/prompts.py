"""How the prompts do on a model: `python benchmarks/prompts.py --base-url URL [--model NAME] [--set small ...]`.

Asks any server the three questions of the recipe chat, each set of prompts with the same demonstrations, and prints a
table. Small models draw very differently from one time to the next: give several `--seed`.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import openai

from selfinstruct import algorithm
from selfinstruct.checks.screening import fault_of_input, screen_instances
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.models import wire
from selfinstruct.models.completions import read_answer
from selfinstruct.recipes import chat
from selfinstruct.seeds.reading import read_seeds
from selfinstruct.settings import Settings
from selfinstruct.types import Completion, Prompt, Request, Task

SEEDS = Path(__file__).parents[1] / "seeds" / "en.jsonl"
NEED = (
    "Summarise the following letter in one sentence.", "Find the mistake in this SQL query and correct it.",
    "Sort the given names by their last letter.", "Translate the paragraph into plain English.",
    "Say which of the customer's complaints is the most urgent.", "Turn these notes into a short email.",
    "Extract all dates from the text below.", "Compute the average of the marks in the table.",
    "Rewrite the sentence in the passive voice.", "Name the author's main argument in the passage.",
    "Explain what the following Python function does.", "Classify each expense in the list as fixed or variable.",
)  # fmt: skip
NEED_NOTHING = (
    "Explain why bread goes stale.", "Write a Python function that reverses a string.",
    "Plan a weekend in Lisbon for two people.", "What is the difference between a lease and a loan?",
    "Write a limerick about a tired postman.", "List five questions to ask a landlord before signing.",
    "How many seconds are there in a day and a half?", "Give three reasons to learn to swim.",
    "Describe how a bicycle gear works.", "Write a SQL query that counts the rows of a table named orders.",
    "Suggest a name for a bakery near the sea.", "Is 91 a prime number? Show how you know.",
)  # fmt: skip


@dataclass(frozen=True)
class Server:
    """Where the questions go."""

    client: openai.AsyncOpenAI
    slots: asyncio.Semaphore

    async def ask(self, request: Request) -> Completion:
        """The answer to a request."""
        async with self.slots:
            body = wire.body_of(request, wire.Capabilities())
            reply = await self.client.chat.completions.with_raw_response.create(**body)
            whole = wire.Reply(200, reply.headers, reply.content)
            answer = read_answer(request, whole, endpoint="", sent="", latency_s=0.0)
            if not isinstance(answer, Completion):
                raise SystemExit(f"no answer: {reply.content[:200]!r}")
            return answer


async def propose(server: Server, settings: Settings, requests: int) -> Counter[str]:
    """Of the new tasks: how many there were, what became of them, and the tokens."""
    seeds = read_seeds(SEEDS)
    planned = algorithm.plan_round(0, settings.model_copy(update={"round_size": requests}), seeds, [])
    answers = {
        one.id: answer for one, answer in zip(planned, await asyncio.gather(*map(server.ask, planned)), strict=True)
    }
    candidates, unreadable = algorithm.read_round(planned, answers, settings)
    known = [(seed.id, seed.instruction) for seed in seeds]
    screening = algorithm.Screening(settings.filters.tokenizer, lambda start: known[start:])
    texts = {seed.id: seed.instruction for seed in seeds}
    shown = {one.id: [texts[demonstration] for demonstration in one.demonstrations] for one in planned}
    decisions = [screening.decide(one, shown[one.request_id], settings) for one in candidates]
    reasons = Counter("accepted" if isinstance(one, algorithm.Accepted) else one.reason for one in decisions)
    copies, near = reasons["copy_of_demonstration"], reasons["near_duplicate"]
    accepted, tokens = reasons["accepted"], sum(one.prompt_tokens + one.completion_tokens for one in answers.values())
    return Counter({
        "items": len(candidates), "copies": copies, "near": near, "unreadable": len(unreadable), "accepted": accepted,
        "faults": len(candidates) - copies - near - accepted,
        "prompt tokens": sum(one.prompt_tokens for one in answers.values()),
        "tokens an accepted": tokens // max(1, accepted),
    })  # fmt: skip


async def inputs(server: Server, settings: Settings) -> Counter[str]:
    """Of 24 instructions: for how many it was rightly seen whether they need an input, and what is wrong with those."""
    found: Counter[str] = Counter()

    async def see(task: Task, *, needs: bool) -> None:
        async def ask(prompt: Prompt) -> Completion:
            request = algorithm.plan_request(prompt, settings, None, task.id)
            if prompt.stage != chat.INPUTS:
                return Completion(request.id, "answer", "Done.", "stop")
            answer = await server.ask(request)
            found["cut"] += answer.finish_reason == "length"
            found["prompt tokens"] += answer.prompt_tokens
            return answer

        written = await chat.write_instances(task, ask, settings, lambda *_: None)
        texts = [one.input for one in written.candidates if one.input]
        found["right"] += bool(texts) == needs
        found["needed seen"] += bool(texts) and needs
        found["inputs"] += len(texts)
        found["faulty"] += sum(fault_of_input(task, text, settings) is not None for text in texts)

    await asyncio.gather(
        *(see(Task(text, text, is_classification=False), needs=True) for text in NEED),
        *(see(Task(text, text, is_classification=False), needs=False) for text in NEED_NOTHING),
    )
    return found


async def respond(server: Server, settings: Settings) -> Counter[str]:
    """Of answers to the tasks that need nothing: how many the rules keep."""
    found: Counter[str] = Counter()

    async def respond_to(task: Task) -> None:
        async def ask(prompt: Prompt) -> Completion:
            request = algorithm.plan_request(prompt, settings, None, task.id)
            if prompt.stage == chat.INPUTS:
                return Completion(request.id, "answer", '{"missing": "nothing", "inputs": []}', "stop")
            answer = await server.ask(request)
            found["prompt tokens"] += answer.prompt_tokens
            return answer

        written = await chat.write_instances(task, ask, settings, lambda *_: None)
        kept, rejected = screen_instances(task, written.candidates, settings, written.labels)
        found["kept"] += len(kept)
        found.update(one.reason for one in (*written.rejections, *rejected))

    await asyncio.gather(*(respond_to(Task(text, text, is_classification=False)) for text in NEED_NOTHING))
    return found


async def main(arguments: argparse.Namespace) -> None:
    """Ask with each set and seed, and print what came of it."""
    client = openai.AsyncOpenAI(base_url=arguments.base_url, api_key="none", timeout=1200)
    model = arguments.model or (await client.models.list()).data[0].id
    print(f"{model}, {arguments.requests} propose requests")
    for name in arguments.set:
        for seed in arguments.seed:
            config = Path(arguments.config) if arguments.config else None
            loaded = load(config, {"model": model, "base_url": [arguments.base_url], "seed": seed})
            loaded = loaded.model_copy(update={"recipe": loaded.recipe.model_copy(update={"prompts": name})})
            settings = pool_settings(loaded, model)
            server = Server(client, asyncio.Semaphore(arguments.concurrency))
            for stage, ask in (
                ("propose", propose(server, settings, arguments.requests)),
                ("inputs", inputs(server, settings)), ("respond", respond(server, settings)),
            ):  # fmt: skip
                found = await ask
                print(
                    f"{name:9} seed {seed:<3} {stage:8}",
                    "  ".join(f"{key} {count}" for key, count in found.items()),
                    flush=True,
                )


def parsed(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model")
    parser.add_argument("--set", nargs="+", default=["standard", "small"], help="sets of prompts, or folders")
    parser.add_argument("--seed", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--config", help="a TOML file, for sampling")
    return parser.parse_args(given)


if __name__ == "__main__":
    asyncio.run(main(parsed()))
