"""The phases of a round as tasks of a flow run: Prefect sees their names and how they ended, and nothing they give."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from prefect import State, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed
from prefect.task_engine import run_task_async

from selfinstruct.errors import Halted, SelfInstructError

Result = TypeVar("Result")


async def as_task(phase: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
    """Do the work of a phase as a task of this flow run.

    An expected end is the task's state and goes on to the pump, which knows what to do; Prefect is to log no traceback.
    Prefect keeps an event of several kilobytes for each state of a task run. So the run is made here, not by calling
    the task: it then has no `Pending`, which it would leave at once.
    """
    results: list[Result] = []
    ends: list[Exception] = []

    @task(name=phase, cache_policy=NO_CACHE, persist_result=False)
    async def run() -> State[Any]:
        try:
            results.append(await work())
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
        task_run.name = f"{phase}-{number}"
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
