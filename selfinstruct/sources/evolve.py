"""Evolve: a task of the pool is made deeper, narrower, more concrete, longer to think about, or of a rarer field.

Xu et al. 2023, "WizardLM", sections 3.2 and 3.3. What differs too little from its parent is rejected as `not_evolved`;
the other eliminations of the paper are the checks of any task: refusals, empty answers, words of the prompt.
"""

from __future__ import annotations

from dataclasses import replace

from selfinstruct.recipes.chat import proposal
from selfinstruct.sources.asking import Asking
from selfinstruct.types import Prompt

EVOLVE = "evolve"
PARENT = "parent"
"""In what was drawn for a request: the id of the task that it changes."""
_WAYS = {
    "deeper": "go deeper: ask for what lies under the surface, such as causes, consequences or exceptions",
    "narrower": "narrow it: add one demand or condition that the answer has to meet",
    "concrete": "make it concrete: put one case in the place of general words, with figures, people or places",
    "reasoning": "make it need several steps of thought where one was enough",
    "rarer": "leave its subject: ask for the same kind of work in a field that few people think of",
}


def evolve(asking: Asking) -> Prompt:
    """A prompt that asks for one task out of a task of the pool in each of some ways, the first way first."""
    settings = asking.settings
    wanted = asking.generator.choice(("generated", "seed"))  # of generated ones alone, a young pool has few
    parent = next((one for one in asking.shown if one.origin == wanted), asking.shown[0])
    known = settings.evolve.ways
    ways = asking.generator.sample(known, min(len(known), settings.recipe.tasks_per_request))
    listed = "\n".join(f"{number}. {_WAYS[way]}" for number, way in enumerate(ways, 1))
    values = {"task": parent.instruction, "ways": listed, "topic": asking.about}
    prompt = proposal(settings.prompts[EVOLVE], values, asking.index, settings, len(ways))
    return replace(prompt, demonstrations=(parent.id,), drawn={PARENT: parent.id, "ways": ", ".join(ways)})
