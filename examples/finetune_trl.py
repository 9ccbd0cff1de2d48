"""Fine-tune a model on an export by TRL, with LoRA and loss on the answers alone, and measure what it gained.

    python examples/finetune_trl.py --data outputs/mine-split --out outputs/tuned

One GPU, or the CPU. The same command goes on with a job that was killed; docs/finetuning.md says what comes out.
Needs: pip install torch transformers trl peft datasets rouge-score
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parent))
from finetune_data import FORMATS, JobError, Row, digest, export_files, read_export, read_tasks, some
from finetune_measure import TEMPLATE_OPTIONS, Encoded, Model, Tokenizer, answerable, frame, measure, usable

LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "rouge-score")


def _is(
    default: Any, about: str, least: float | None = None, most: float = math.inf, choices: tuple[str, ...] = ()
) -> Any:
    return field(default=default, metadata={"help": about, "least": least, "most": most, "choices": choices})


@dataclass(frozen=True, slots=True)
class Job:
    """All settings: options of the command line, and keys of the file for --config with _ for -."""

    data: str = _is("", "the folder of an export")
    out: str = _is("", "where the adapter and the report go: a new folder, or that of the same job to go on with")
    model: str = _is("Qwen/Qwen3-0.6B", "a causal language model: a folder, or a name on the Hugging Face Hub")
    format: str = _is("", "the form of the export to train on; the first there is", choices=("", *FORMATS))
    chat_template: str = _is("", "a Jinja file in place of the tokenizer's own chat template")
    tasks: tuple[str, ...] = _is((), "a task file, or a folder of them, to be measured on too (repeatable)")
    lora: bool = _is(True, "train an adapter; --no-lora trains all weights")
    lora_r: int = _is(16, "rank of the adapter", 1)
    lora_alpha: int = _is(32, "scale of the adapter", 1)
    lora_dropout: float = _is(0.05, "dropout of the adapter", 0, 1)
    lr: float = _is(2e-4, "highest learning rate; of all weights a tenth of the default is a good start", 0)
    epochs: float = _is(2.0, "how often each row is seen", 0)
    steps: int = _is(0, "end after this many steps in place of epochs", 0)
    batch_size: int = _is(4, "rows at a time", 1)
    accumulation: int = _is(4, "batches a step", 1)
    max_length: int = _is(
        1024, "rows of more tokens are left out, and counted; of rows to be measured the prompt counts", 8
    )
    gradient_checkpointing: bool = _is(True, "less memory for more time")
    save_steps: int = _is(100, "a checkpoint to go on from after every N steps", 1)
    eval_rows: int = _is(200, "rows measured of each set, chosen by the seed; 0 for all", 0)
    max_new_tokens: int = _is(256, "longest answer when measuring", 1)
    merge: bool = _is(False, "also save the whole model with the adapter in it")
    seed: int = _is(7, "of the order of rows, the adapter's first weights and the choice of rows", 0, 2**32 - 1)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise JobError(f"{message}; --help has the options")


# --- settings -------------------------------------------------------------------------------------------------------


def read_job(arguments: Sequence[str]) -> Job:
    """The settings: options before the file before defaults."""
    parser = _Parser(
        description=(__doc__ or "").split("\n")[0],
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--config", help="a TOML file with any of these settings")
    for one in fields(Job):
        option, about = f"--{one.name.replace('_', '-')}", one.metadata["help"]
        if isinstance(one.default, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, help=about)
        elif isinstance(one.default, tuple):
            parser.add_argument(option, action="append", help=about)
        else:
            shown = f"{about} ({one.default})" if one.default not in {"", 0} else about
            parser.add_argument(option, type=type(one.default), choices=one.metadata["choices"] or None, help=shown)
    given = vars(parser.parse_args(arguments))
    config = given.pop("config", None)
    settings = {**(_from_file(Path(config)) if config else {}), **given}
    if "tasks" in settings:
        settings["tasks"] = tuple(settings["tasks"])
    job = Job(**settings)
    for one in fields(Job):
        least, most, value = one.metadata["least"], one.metadata["most"], getattr(job, one.name)
        if least is not None and not (least <= value <= most and math.isfinite(value)):
            wanted = f"{least} or more" if most == math.inf else f"{least} to {most}"
            raise JobError(f"{one.name} = {value}: wanted {wanted}")
    for name in ("data", "out"):
        if not getattr(job, name):
            raise JobError(f"--{name} is missing: {Job.__dataclass_fields__[name].metadata['help']}")
    return job


def _from_file(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JobError(f"{path}: cannot be read ({error})") from error
    known = {one.name: one for one in fields(Job)}
    for name, value in found.items():
        if name not in known:
            raise JobError(f"{path}: unknown key {name!r}; known: {', '.join(known)}")
        wanted = type(known[name].default)
        choices = known[name].metadata["choices"]
        if wanted is float and type(value) is int:
            found[name] = float(value)
        elif wanted is tuple and isinstance(value, list) and all(isinstance(one, str) for one in value):
            found[name] = tuple(value)
        elif type(value) is not wanted or (choices and value not in choices):
            want = " or ".join(filter(None, choices)) if choices else {tuple: "list of texts", str: "text"}.get(wanted)
            raise JobError(f"{path}: {name} = {value!r}: wanted {want or wanted.__name__}")
    return found


def claim(job: Job, files: Mapping[str, Path]) -> dict[str, Any]:
    """What makes the job this one and no other, for `out/job.json`; an error if the folder is another job's."""
    out = Path(job.out)
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(job).items()}
    del settings["out"]
    claimed = {"settings": settings, "sha256": {name: digest(path) for name, path in files.items()}}
    record = out / "job.json"
    if record.exists():
        there = json.loads(record.read_text(encoding="utf-8"))
        for part, values in claimed.items():
            for name, value in {**there[part], **values}.items():
                if there[part].get(name) != value or name not in values:
                    raise JobError(
                        f"{out}: belongs to a job with another {name} ({there[part].get(name)!r}, not {value!r}); "
                        "name another --out"
                    )
    elif out.is_dir() and any(one.suffix != ".partly" for one in out.iterdir()):
        raise JobError(f"{out}: is not empty and holds no job; name another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JobError(f"{out}: cannot be written ({error.strerror})") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise JobError(f"{out}: cannot be written")
    return claimed


def save(path: Path, value: Any) -> None:
    """Write JSON; the file is whole or not there."""
    partly = path.with_suffix(".partly")
    partly.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    partly.replace(path)


# --- model ----------------------------------------------------------------------------------------------------------


def load_model(job: Job) -> tuple[Model, Tokenizer]:
    """The model on the device where it is trained, and its tokenizer."""
    import datasets
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()

    on_gpu = torch.cuda.is_available()
    half = on_gpu and job.lora and torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        tokenizer = AutoTokenizer.from_pretrained(job.model)
        model = AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.bfloat16 if half else torch.float32)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # safetensors and tokenizers raise it as such for a file that they cannot read
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise JobError(f"model {job.model!r}: cannot be loaded ({said})") from error
    if job.chat_template:
        try:
            tokenizer.chat_template = Path(job.chat_template).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise JobError(f"{job.chat_template}: cannot be read ({error})") from error
    if tokenizer.eos_token is None:
        raise JobError(f"model {job.model!r}: its tokenizer has no end-of-text token, so no answer would end")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to("cuda" if on_gpu else "cpu"), tokenizer


def trainer_of(job: Job, model: Model, tokenizer: Tokenizer, rows: Sequence[tuple[Row, Encoded]]) -> Any:
    """TRL's trainer on these rows; its labels are the answers' tokens, which is checked for every row."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    on_gpu = torch.cuda.is_available()
    bf16 = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    config = SFTConfig(
        output_dir=str(Path(job.out) / "checkpoints"), max_steps=job.steps or -1, num_train_epochs=job.epochs,
        per_device_train_batch_size=job.batch_size, gradient_accumulation_steps=job.accumulation,
        learning_rate=job.lr, lr_scheduler_type="cosine", warmup_steps=0.03, logging_steps=0.02,
        gradient_checkpointing=job.gradient_checkpointing, save_strategy="steps", save_steps=job.save_steps,
        save_total_limit=1, seed=job.seed, max_length=None, completion_only_loss=True, bf16=bf16,
        fp16=on_gpu and not bf16, use_cpu=not on_gpu, report_to="none", disable_tqdm=True,
    )  # fmt: skip
    lora = LoraConfig(
        r=job.lora_r, lora_alpha=job.lora_alpha, lora_dropout=job.lora_dropout, target_modules="all-linear",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    trainer = SFTTrainer(
        model, args=config, train_dataset=Dataset.from_list([_as_trl_takes_it(row) for row, _ in rows]),
        processing_class=tokenizer, peft_config=lora if job.lora else None,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    for (row, one), made in zip(rows, trainer.train_dataset, strict=True):
        labels = [-100] * one.start + one.whole[one.start :]
        if made["input_ids"] != one.whole or made["labels"] != labels:
            raise JobError(
                f"{row.place}: TRL {version('trl')} would not train on exactly the answer; use another version"
            )
    return trainer


def _as_trl_takes_it(row: Row) -> dict[str, Any]:
    if isinstance(row.prompt, str):
        return {"prompt": row.prompt, "completion": row.answers[0]}
    completion = [{"role": "assistant", "content": row.answers[0]}]
    return {"prompt": list(row.prompt), "completion": completion, "chat_template_kwargs": TEMPLATE_OPTIONS}


# --- the job --------------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


def run(job: Job) -> None:
    """Do the job, or what is left of it; `out/report.json` is there when all of it is done."""
    began, out = time.monotonic(), Path(job.out)
    name, train_file, test_file = export_files(Path(job.data), job.format)
    files = {"train": train_file} | ({"held-out": test_file} if test_file else {})
    for task in map(Path, job.tasks):
        if task.name in files:
            raise JobError(f"{task}: there is another set named {task.name}; rename it")
        files[task.name] = task
    rows = read_export(train_file, name)
    sets = {
        one: read_export(path, name) if path == test_file else read_tasks(path, rows)
        for one, path in files.items()
        if path != train_file
    }
    claimed = claim(job, files)
    if (out / "report.json").exists():
        say(f"this job is done: {out / 'report.md'}")
        return
    if not test_file:
        say(f"{train_file.parent}: no held-out rows; export with --split train=0.9,test=0.1 to have some")
    model, tokenizer = load_model(job)
    if name != "prompt-completion-plain" and not tokenizer.chat_template:
        raise JobError(
            f"model {job.model!r}: no chat template; name one by --chat-template, or take a plain form by "
            "--format prompt-completion-plain"
        )
    kept, left_out = usable(tokenizer, rows, job.max_length)
    if not kept:
        raise JobError(f"{train_file}: none of {len(rows)} rows can be trained on: {left_out}")
    facts = {"form": name, "left_out": left_out, "not_measured": {}, **_facts(tokenizer, kept)}
    seen = f"{facts['tokens_in_loss']:,} of {facts['tokens']:,} tokens in the loss"
    say(f"{len(kept)} of {len(rows)} rows of {train_file}, {seen}")
    chosen = {}
    for one, of in sets.items():
        asked = answerable(tokenizer, of, job.max_length)
        facts["not_measured"][one] = len(of) - len(asked)
        if missing := facts["not_measured"][one]:
            say(f"{one}: {missing} of {len(of)} rows are not measured: prompts of more than max_length tokens")
        chosen[one] = some(asked, job.eval_rows, job.seed)
    save(out / "job.json", claimed)  # not earlier: what failed until here may be tried again with other settings
    before = _once(out / "before.json", lambda: _measured("before", model, tokenizer, chosen, job))
    trainer = trainer_of(job, model, tokenizer, kept)
    losses = _train(trainer, out / "checkpoints")
    after = _measured("after", trainer.model, tokenizer, chosen, job)
    count = trainer.model.num_parameters
    _save_model(job, trainer, tokenizer)
    report = {
        **claimed, **facts, "parameters": count(), "parameters_trained": count(only_trainable=True),
        "steps": trainer.state.global_step, "train_loss": losses, "before": before["scores"],
        "after": after["scores"], "device": str(model.device), "seconds": round(time.monotonic() - began, 1),
        "versions": {one: version(one) for one in LIBRARIES},
    }  # fmt: skip
    answers = [
        {"set": one, "prompt": row.prompt, "right": row.answers, "before": old, "after": new}
        for one, of in chosen.items()
        for row, old, new in zip(of, before["answers"][one], after["answers"][one], strict=True)
    ]
    (out / "report.md").write_text(as_markdown(report, answers), encoding="utf-8")
    lines = (json.dumps(one, ensure_ascii=False) + "\n" for one in answers)
    (out / "answers.jsonl").write_text("".join(lines), encoding="utf-8")
    save(out / "report.json", report)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    say(f"done: {out / 'report.md'}")


def _facts(tokenizer: Tokenizer, kept: Sequence[tuple[Row, Encoded]]) -> dict[str, Any]:
    before, after = frame(tokenizer, *kept[0])
    if not after.strip():
        say("the chat template puts nothing after an answer, so the model does not learn to stop")
    return {
        "rows": len(kept),
        "tokens": sum(len(one.whole) for _, one in kept),
        "tokens_in_loss": sum(len(one.whole) - one.start for _, one in kept),
        "around_each_answer": [before, after],
    }


def _measured(
    when: str, model: Model, tokenizer: Tokenizer, sets: Mapping[str, Sequence[Row]], job: Job
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"scores": {}, "answers": {}}
    for name, rows in sets.items():
        if rows:
            found["scores"][name], found["answers"][name] = measure(
                model, tokenizer, rows, batch_size=job.batch_size, max_length=job.max_length,
                max_new_tokens=job.max_new_tokens,
            )  # fmt: skip
            say(f"{when}, {name}: " + ", ".join(f"{key} {value}" for key, value in found["scores"][name].items()))
        else:
            found["answers"][name] = []
    return found


def _once(path: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the work gave when it was first done; a job that goes on does not do it again."""
    if not path.exists():
        save(path, work())
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _train(trainer: Any, checkpoints: Path) -> list[dict[str, float]]:
    from transformers import TrainerCallback

    class Tell(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                say(f"step {state.global_step} of {state.max_steps}, loss {float(logs['loss']):.4f}")

    trainer.add_callback(Tell())
    last = _last_whole(checkpoints)
    if last:
        say(f"goes on from {last}")
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    return [
        {"step": one["step"], "loss": round(float(one["loss"]), 4)}
        for one in trainer.state.log_history
        if "loss" in one
    ]


def _last_whole(checkpoints: Path) -> Path | None:
    """The last checkpoint that was written to its end, which is its state."""

    def is_whole(checkpoint: Path) -> bool:
        try:
            return bool(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return False

    found = (one for one in checkpoints.glob("checkpoint-*") if is_whole(one))
    return max(found, key=lambda one: int(one.name.rpartition("-")[2]), default=None)


def _save_model(job: Job, trainer: Any, tokenizer: Tokenizer) -> None:
    out = Path(job.out)
    trainer.save_model(str(out / ("adapter" if job.lora else "model")))
    if job.lora and job.merge:
        trainer.model.merge_and_unload().save_pretrained(out / "model")
        tokenizer.save_pretrained(out / "model")


# --- report ---------------------------------------------------------------------------------------------------------


def as_markdown(report: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> str:
    """The report for people; texts of models stand in indented blocks, where nothing in them is Markdown."""
    settings, left_out = report["settings"], report["left_out"]
    unmeasured = ", ".join(f"{count} of {name}" for name, count in report["not_measured"].items() if count)
    lines = [
        f"# Fine-tuning of `{settings['model']}`", "",
        (f"On {report['rows']:,} rows of the form `{report['form']}`, {report['steps']:,} steps; "
        f"{report['tokens_in_loss']:,} of {report['tokens']:,} tokens in the loss, "
        f"{report['parameters_trained']:,} of {report['parameters']:,} parameters trained."),
        f"Left out: {left_out['too_long']} rows too long, {left_out['changed_by_template']} changed by the template.",
        *([f"Not measured, since the prompt has more than max_length tokens: {unmeasured}."] if unmeasured else []),
        "", "| set | rows | | loss | ROUGE-L | exact match | exact match of classifications |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, after in report["after"].items():
        for when, found in (("before", report["before"][name]), ("after", after)):
            labels = f"{_shown(found['classification_exact_match'])} ({found['classification_rows']} rows)"
            figures = [
                name,
                found["rows"],
                when,
                _shown(found["loss"])
                + ("" if found["loss_rows"] == found["rows"] else f" ({found['loss_rows']} rows)"),
                *(_shown(found[key]) for key in ("rouge_l", "exact_match")),
                labels,
            ]
            lines.append("| " + " | ".join(map(str, figures)) + " |")
    lines += ["", "Loss is a token of the right answer; ROUGE-L F1 and exact match are in percent.", ""]
    if report["train_loss"]:
        first, last = report["train_loss"][0], report["train_loss"][-1]
        lines.append(f"Training loss {first['loss']} at step {first['step']}, {last['loss']} at step {last['step']}.")
    for number, one in enumerate(answers[:5], 1):
        prompt = one["prompt"] if isinstance(one["prompt"], str) else one["prompt"][-1]["content"]
        lines += ["", f"## Answer {number}"]
        for title, text in (
            ("asked", prompt),
            ("right", one["right"][0]),
            ("before", one["before"]),
            ("after", one["after"]),
        ):
            lines += ["", f"{title}:", "", *(f"    {line}" for line in _visible(text).split("\n"))]
    return "\n".join(lines) + "\n"


def _shown(value: float | None) -> str:
    return "-" if value is None else str(value)


def _visible(text: str) -> str:
    """The text without control characters but for line ends."""
    return "".join(one if one == "\n" or one.isprintable() else "\ufffd" for one in text)


def main(arguments: Sequence[str]) -> int:
    """Run a command line; its exit code."""
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]  # TRL takes one
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        run(read_job(arguments))
    except JobError as error:
        say(f"error: {error}")
    except ModuleNotFoundError as error:
        say(f"error: {error}; pip install {' '.join(LIBRARIES)}")
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        say(
            "error: the memory of the GPU does not suffice; lower batch_size or max_length, or take a smaller model, "
            "and name another --out"
        )
    else:
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
