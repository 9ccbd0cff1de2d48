"""The dataset card: the head of `README.md` for Hugging Face, and the text below it for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from selfinstruct.exports.chat_template import FAULTS
from selfinstruct.exports.formats import alpaca, title
from selfinstruct.exports.row_files import COLUMNS, NUMBERS, TABLES, file_name
from selfinstruct.pool.records import Row
from selfinstruct.types import BEST

_LICENCES = (
    ("offline", "the built-in model, which answers from a book: nothing is claimed"),
    ("gpt-oss", "Apache-2.0, with OpenAI's usage policy"),
    (("gpt-", "o1", "o3", "o4", "chatgpt"), "OpenAI's terms: output may not be used to develop competing models"),
    ("claude", "Anthropic's terms: output may not be used to train competing models without consent"),
    ("gemini", "Google's terms: output may not be used to develop competing models"),
    ("gemma", "Apache-2.0 or the Gemma licence: under the latter, a model trained on output may fall under it"),
    ("llama-2", "the Llama 2 licence: output may not be used to improve other language models"),
    ("llama", "a Llama licence: a model trained on output is named Llama... and carries the licence"),
    ("qwen", "Apache-2.0 for most sizes; others have a Qwen licence of their own"),
    (("mistral", "mixtral", "ministral"), "Apache-2.0 for the open models; others have a licence of their own"),
    ("deepseek", "MIT for most; training other models on output is allowed"),
    ("phi", "MIT"),
    ("olmo", "Apache-2.0"),
)  # fmt: skip
"""A hint by the beginning of a model's name, without its owner; the first that fits."""

_INTRODUCTION = """\
# {title}

{rows:,} rows of {tasks:,} tasks ({origins}): an instruction, an input that may be empty, and an output.
"""
_SEEDS = """\
The seed tasks and their outputs were written by people, and only checked for form.
"""
_GROWN = """\
Instructions grew from seed tasks that people wrote, by Self-Instruct (Wang et al. 2022): a language model was shown
some of them and wrote new ones; what was valid, new and not too similar was kept.
"""
_FILES = """\
`manifest.json` has checksums, the full configuration and what was left out. `dataset_info.json` tells LLaMA-Factory how
to read the files, `axolotl.yaml`, where there is one, axolotl.
"""
_FEWER = """\
A file with fewer rows than the figures below leaves out what its form cannot carry, or has nothing for.
"""
_SPLITS = """\
No row on one side of the split has a ROUGE-L above 0.5, on instruction plus input, to a row on another. All rows of a
task are on one side. A later export of the same pool, grown, puts each row on the same side as this one.
"""
_LICENCE = """\
A hint is where to begin, not advice: read the licence and the terms under which each model was used. They decide what
this data may be used for, and which licence belongs at the top of this card.
"""
_LIMITS = """\
Outputs of generated tasks were written by models: some are wrong, and some instructions ask for what cannot be done.
Topics, tone and errors are those of the seeds and the models. Rules kept out near-duplicates, unfinished texts and
refusals; they did not judge truth or harm.
"""
_JUDGED = """\
A language model judged each generated row that was made with a judge (see above): whether the task is valid, the input
suitable and the output correct. It errs in both directions, and did not look for harm.
"""
_LOAD = """\
```python
from datasets import load_dataset

rows = load_dataset("OWNER/NAME")["{split}"]  # the repository, or the path of this folder
```
"""
_CITATION = """\
## Citation

```bibtex
@inproceedings{wang2023selfinstruct,
  title = {Self-Instruct: Aligning Language Models with Self-Generated Instructions},
  author = {Wang, Yizhong and Kordi, Yeganeh and Mishra, Swaroop and Liu, Alisa and Smith, Noah A. and
            Khashabi, Daniel and Hajishirzi, Hannaneh},
  booktitle = {Proceedings of ACL 2023},
  url = {https://aclanthology.org/2023.acl-long.754},
  year = {2023}
}
```
"""
_OFFLINE = """\
The built-in model `offline` only shows how things work. Its rows are not for training.
"""

_FEATURES = [
    "dataset_info:", "- config_name: grpo", "  features:", "  - name: prompt", "    list:", "    - name: role",
    "      dtype: string", "    - name: content", "      dtype: string", "  - name: answer", "    dtype: string",
    "  - name: constraints", "    dtype: string", "  - name: checker", "    struct:", "    - name: name",
    "      dtype: string", "    - name: answer", "      dtype: string", "    - name: constraints",
    "      dtype: string", "  - name: pass_rate", "    dtype: float64",
]  # fmt: skip
"""The types of the form grpo: a pass rate that is null in a whole file has none of its own."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def licence_hint(model: str) -> str:
    """What is known of the terms for a model's output, in a few words."""
    name = model.rpartition("/")[2].casefold().removeprefix("meta-")
    return next((hint for start, hint in _LICENCES if name.startswith(start)), "not known here; look it up")


def card(
    manifest: Mapping[str, Any],
    names: Sequence[str],
    splits: Sequence[str | None],
    rows: Mapping[str, int],
    examples: Sequence[Row] = (),
) -> str:
    """The card of an export; `rows` are the rows of each file, `examples` a few to show."""
    return "\n".join([*_head(manifest, names, splits, rows), *_body(manifest, names, splits, rows, examples)])


def _title(figures: Mapping[str, Any]) -> str:
    """What the data is, and who wrote it."""
    models = sorted({*figures["rows_by_output_model"], *figures["tasks_by_instruction_model"]})
    named = [_code(name).strip("`") for name in models[:3]]
    return f"Instruction data by {' and '.join(named) or 'people'}, grown by selfinstruct"


def _head(
    manifest: Mapping[str, Any], names: Sequence[str], splits: Sequence[str | None], rows: Mapping[str, int]
) -> list[str]:
    count = manifest["figures"]["rows"]
    size = next((name for bound, name in _SIZES if count < bound), "1M<n<10M" if count < 10_000_000 else "10M<n<100M")
    languages = manifest["figures"]["languages"]
    lines = ["---", f"pretty_name: {json.dumps(_title(manifest['figures']))}", "license: other"]
    if languages:
        lines += ["language:", *(f"- {json.dumps(code)}" for code in languages)]
    lines += ["task_categories:", "- text-generation", "tags:", "- instruction-tuning", "- self-instruct"]
    lines += ["- synthetic"] if "generated" in manifest["figures"]["tasks_by_origin"] else []
    lines += ["size_categories:", f"- {size}"]
    configs: list[str] = []
    default = _default(names, splits, rows)
    for name in _configured(names):
        files = [(split or "train", file_name(name, split)) for split in splits]
        filled = [(split, file) for split, file in files if rows[file]]  # a file without rows cannot be loaded
        if not filled:
            continue
        configs += [f"- config_name: {title(name)}", *(["  default: true"] if name == default else [])]
        configs += ["  data_files:"]
        for split, file in filled:
            configs += [f"  - split: {split}", f"    path: {file}"]
        if name == "csv":  # pandas reads texts such as NA or null as missing ones
            configs += ["  keep_default_na: false", "  na_values:", *(f'    {name}: [""]' for name in NUMBERS)]
    lines += ["configs:", *configs] if configs else []
    lines += _FEATURES if any(one.endswith("config_name: grpo") for one in configs) else []
    return [*lines, "---", ""]


def _default(names: Sequence[str], splits: Sequence[str | None], rows: Mapping[str, int]) -> str | None:
    """The configuration that is loaded where none is named; None if no file has rows."""
    there = [name for name in _configured(names) if any(rows[file_name(name, split)] for split in splits)]
    return "messages" if "messages" in there else next(iter(there), None)


def _configured(names: Sequence[str]) -> Sequence[str]:
    """The formats of one kind of file: `datasets` reads all configurations of a card like the first."""
    lines = [name for name in names if name not in TABLES]
    return lines or [name for name in names if name == "parquet"] or names


def _body(
    manifest: Mapping[str, Any],
    names: Sequence[str],
    splits: Sequence[str | None],
    rows: Mapping[str, int],
    examples: Sequence[Row],
) -> list[str]:
    figures = manifest["figures"]
    origins_there = figures["tasks_by_origin"]
    origins = ", ".join(f"{count:,} {origin}" for origin, count in origins_there.items()) or "none"
    written, proposed = figures["rows_by_output_model"], figures["tasks_by_instruction_model"]
    models = sorted({*written, *proposed})
    lines = [_INTRODUCTION.format(title=_title(figures), rows=figures["rows"], tasks=figures["tasks"], origins=origins)]
    about_seeds = [_SEEDS] if "seed" in origins_there else []
    lines += ([_GROWN] if "generated" in origins_there else []) + about_seeds
    if default := _default(names, splits, rows):
        split = next(split for split in splits if rows[file_name(default, split)])
        lines += [_LOAD.format(split=split or "train")]
    if examples:
        texts = (
            {**({"system": row.system} if row.system else {}), **alpaca(row),
             **({"turns": [{"user": one.user, "assistant": one.assistant} for one in row.turns]} if row.turns else {})}
            for row in examples
        )  # fmt: skip
        shown = (json.dumps(text, ensure_ascii=False, indent=2) for text in texts)
        lines += ["## Examples", "", "```json", *shown, "```", ""]
    lines += _files(
        {name: {file_name(name, one): rows[file_name(name, one)] for one in splits} for name in names}, figures
    )
    if any(name in TABLES for name in names):
        lines += [f"Columns of the tables: {', '.join(f'`{name}`' for name in COLUMNS)}.", ""]
    if beside := [name for name in names if name not in _configured(names)]:
        loads = (f'`load_dataset("{name}", data_files="{file_name(name, splits[0])}")`' for name in beside)
        lines += [f"`datasets` loads what is no configuration by its file: {', '.join(loads)}.", ""]
    lines += ["## Figures", "", "| | |", "|---|---|", *_figures(figures)]
    lines += [*_by_rule(manifest), *_left_out(manifest)]
    if "chat_template" in manifest:
        lines += _chat_template(manifest["chat_template"])
    if manifest["export"]["split"]:
        lines += ["", _SPLITS]
    lines += ["", "## How it was made", ""]
    for one in manifest["configuration"]:
        stages = ", ".join(f"{stage} by {_asked(about)}" for stage, about in one["stages"].items())
        lines.append(
            f"- recipe `{one['recipe']['name']}` ({stages}); a new instruction was rejected above ROUGE-L "
            f"{one['filters']['rouge_threshold']} to any earlier one; {_judge(one['judge'])}seed {one['seed']}"
        )
    for about in manifest["excluded"]:
        lines.append(
            f"- kept clear of {_code(about['name'])} ({about['rows']:,} rows, SHA-256 of its texts "
            f"`{about['sha256'][:16]}...`): {_screened(about)}"
        )
    lines += ["", "## Models and their licences", ""]
    if models:
        lines += ["| model | instructions | outputs | hint |", "|---|---|---|---|"]
    for name in models:
        counts = f"{proposed.get(name, 0):,} | {written.get(name, 0):,}"
        lines.append(f"| {_code(name)} | {counts} | {licence_hint(name)} |")
    lines += ["", _LICENCE, "## Limits", ""]
    if "generated" in origins_there:
        lines += [_LIMITS, *([_JUDGED] if any(one["judge"]["enabled"] for one in manifest["configuration"]) else [])]
    lines += about_seeds
    return [*lines, *([_OFFLINE] if "offline" in models else []), _CITATION]


def _files(rows: Mapping[str, Mapping[str, int]], figures: Mapping[str, Any]) -> list[str]:
    """The files of each form with their rows."""
    lines = ["## Files", "", "| file | rows |", "|---|---|"]
    lines += [f"| `{file}` | {count:,} |" for files in rows.values() for file, count in files.items()]
    fewer = any(sum(files.values()) < figures["rows"] for files in rows.values())
    return [*lines, "", *([_FEWER] if fewer else []), _FILES]


def _asked(stage: Mapping[str, Any]) -> str:
    """The model of a stage and how it was sampled."""
    sampling = ", ".join(
        f"{name} {value}" for name, value in stage["sampling"].items() if isinstance(value, int | float)
    )
    return f"{_code(stage['model'])}{f' at {sampling}' if sampling else ''}"


def _screened(about: Mapping[str, Any]) -> str:
    said = []
    if "candidates_rejected" in about:
        said.append(f"{about['candidates_rejected']:,} candidates rejected while the pool grew")
    if "rows_left_out" in about:
        said.append(f"{about['rows_left_out']:,} rows left out of this export")
    return ", ".join(said)


def _judge(rules: Mapping[str, Any]) -> str:
    """The bounds of the judge, as a part of a sentence."""
    if not rules["enabled"]:
        return ""
    revised = ", revised once if the principles given to a reviser could help" if rules["revise"] else ""
    least = ", ".join(f"{question} {rules[f'min_{question}']}" for question in ("valid", "input", "output"))
    return f"an instance was rejected by a judge below {least} of {BEST}{revised}; "


_DIVERSITY = {
    "verb_noun_pairs": "different pairs of verb and object among the instructions",
    "distinct_2": "different word pairs, as a share of all",
    "top_openings_share": "share of the ten most frequent openings",
    "mean_nearest_rouge_l": "mean ROUGE-L to the most similar earlier instruction",
    "vendi_score": "Vendi score",
}


def _figures(figures: Mapping[str, Any]) -> list[str]:
    means, varied = figures["mean_characters"], figures["diversity"]
    lines = [
        f"| rows | {figures['rows']:,} |",
        f"| tasks | {figures['tasks']:,} |",
        f"| rows without input | {figures['rows_without_input']:,} |",
        *([f"| rows with a system text | {figures['rows_with_system']:,} |"] if figures["rows_with_system"] else []),
        *([f"| rows with further turns | {figures['rows_with_turns']:,} |"] if figures["rows_with_turns"] else []),
        *([f"| rows with texts that people wrote | {figures['rows_edited']:,} |"] if figures["rows_edited"] else []),
        f"| mean characters of an instruction | {means['instruction']:,.1f} |",
        f"| mean characters of an input, where there is one | {means['input']:,.1f} |",
        f"| mean characters of an output | {means['output']:,.1f} |",
    ]
    compared = varied["instructions"]
    for key, name in _DIVERSITY.items():
        if varied[key] is not None:
            of = varied["vendi_sample"] if key == "vendi_score" else compared
            sample = f", of {of:,} of the instructions" if of < figures["tasks"] else ""
            lines.append(f"| {name}{sample} | {varied[key]:,} |")
    return lines


def _chat_template(found: Mapping[str, Any]) -> list[str]:
    """The figures of the rows in the tokenizer's chat template."""
    tokens = found["tokens"]
    of = f" of {_code(found['tokenizer'])}" if found["tokenizer"] else ""
    lines = ["", f"In the chat template{of}:", "", "| | |", "|---|---|"]
    lengths = ", ".join(f"{tokens[key]:,}" for key in ("p50", "p90", "p99", "max"))
    lines += [
        f"| tokens | {tokens['total']:,} |",
        f"| tokens of a row: mean, median, 90 %, 99 %, most | {tokens['mean']:,.1f}, {lengths} |",
        f"| share of tokens that the loss sees | {found['share_of_tokens_learned']:.1%} |",
    ]
    if found["limit"]:
        lines.append(f"| rows above {found['limit']:,} tokens | {found['rows_over_limit']:,} |")
    return lines + [f"| rows `{fault}`: {FAULTS[fault]} | {count:,} |" for fault, count in found["faults"].items()]


def _by_rule(manifest: Mapping[str, Any]) -> list[str]:
    """What each rule gave to the forms of more than outputs."""
    found = manifest.get("lines_by_rule", {})
    return [f"| `{name}` by `{rule}` | {n:,} |" for name, rules in found.items() for rule, n in rules.items()]


def _left_out(manifest: Mapping[str, Any]) -> list[str]:
    lines = [f"| left out: `{reason}` | {count:,} |" for reason, count in manifest["left_out"]["rows"].items()]
    for name, reasons in manifest["left_out"]["by_format"].items():
        lines += [f"| left out of `{name}`: `{reason}` | {count:,} |" for reason, count in reasons.items()]
    return lines


def _code(name: str) -> str:
    """A name as code in a table, with nothing in it that ends the code or the cell."""
    plain = "".join(character if character.isprintable() and character not in "`|<>" else " " for character in name)
    return f"`{plain.strip() or '?'}`"
