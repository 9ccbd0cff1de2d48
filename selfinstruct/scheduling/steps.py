"""The steps of the pump as tasks of a flow run: Prefect sees their names and how they ended, and nothing they give."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from prefect import State, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed
from prefect.task_engine import run_task_async

from selfinstruct.errors import SelfInstructError
from selfinstruct.growth.pump import STEPS, Growth, Steps
from selfinstruct.growth.underway import Round
from selfinstruct.llm.slots import Halted
from selfinstruct.rounds import Verdict
from selfinstruct.store.contents import OpenTask

Result = TypeVar("Result")


async def _sample(growth: Growth, round_: Round) -> None:
    await _as_task("sample", round_.number, lambda: STEPS.sample(growth, round_))


async def _prompt(growth: Growth, round_: Round) -> None:
    await _as_task("prompt", round_.number, lambda: STEPS.prompt(growth, round_))


async def _filter(growth: Growth, round_: Round) -> Sequence[Verdict]:
    return await _as_task("filter", round_.number, lambda: STEPS.filter(growth, round_))


async def _grow(growth: Growth, round_: Round, verdicts: Sequence[Verdict]) -> Sequence[OpenTask]:
    return await _as_task("grow", round_.number, lambda: STEPS.grow(growth, round_, verdicts))


async def _follow_up(growth: Growth, tasks: Sequence[OpenTask]) -> None:
    if tasks:
        await _as_task("follow-up", tasks[0].round, lambda: STEPS.follow_up(growth, tasks))


async def _as_task(name: str, number: int, step: Callable[[], Awaitable[Result]]) -> Result:
    """Run a step as a task of this flow run.

    An expected end is the task's state and goes on to the pump, which knows what to do; Prefect is to log no traceback.
    Prefect keeps an event of several kilobytes for each state of a task run. So the run is made here, not by calling
    the task: it then has no `Pending`, which it would leave at once.
    """
    results: list[Result] = []
    ends: list[Exception] = []

    @task(name=name, cache_policy=NO_CACHE, persist_result=False)
    async def run() -> State[Any]:
        try:
            results.append(await step())
        except Halted as halted:
            ends.append(halted)
            return Completed(name="Halted", message="the run ended first; what is open is asked by the next one")
        except SelfInstructError as error:
            ends.append(error)
            return Failed(message=str(error))
        except Exception as error:
            ends.append(error)
            raise
        return Completed()

    with _flow_run_alone():
        task_run = await run.create_local_run()
        task_run.name = f"{name}-{number}"
        await run_task_async(run, task_run=task_run, return_type="state")
    if ends:
        raise ends[0]
    return results[0]


def _flow_run_alone() -> FlowRunContext:
    """This flow run without where it came from.

    Prefect would repeat deployment, work pool, queue and tags in every event of a task; the flow run itself has them.
    """
    context = FlowRunContext.get()
    assert context is not None and context.flow_run is not None  # noqa: S101, PT018 - for the type checker
    no_origin: dict[str, Any] = {"deployment_id": None, "work_queue_id": None, "work_pool_name": None, "tags": []}
    return context.model_copy(update={"flow_run": context.flow_run.model_copy(update=no_origin)})


TASKS = Steps(_sample, _prompt, _filter, _grow, _follow_up)
"""The steps, each as a task."""
