"""Makes a tiny model that needs no training: run by the environment of the tests as `python make_tiny_model.py FOLDER`.

Two layers of random weights. Over them one direction of the hidden state is held constant, and the output layer reads
from it how often each token is to come, whatever was said before. So the model writes word salad of our own sentences,
in ASCII, that now and then ends a line, a string or itself: enough for a pipeline to find tasks in. Its text means
nothing, and tests must not look at it.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections import Counter
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

ROOT = Path(__file__).parents[2]
END, START, PAD = "<|im_end|>", "<|im_start|>", "<|pad|>"
FIELDS = ("\nOutput: ", "\nClass label: ")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHARES = {END: 0.04, '"': 0.03, "\n": 0.02, ".": 0.03, "{": 0.005, "]": 0.005, FIELDS[0]: 0.04, FIELDS[1]: 0.01}
"""How often the tokens come that give an answer its form; words share the rest as they do in our sentences. Others come
where a grammar allows nothing else."""
HIDDEN, CONSTANT = 64, 8.0


def sentences() -> list[str]:
    found = [
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "selfinstruct/recipes/prompts").rglob("*.txt"))
    ]
    for line in (ROOT / "seeds/en.jsonl").read_text(encoding="utf-8").splitlines():
        task = json.loads(line)
        found.append(task["instruction"])
        found += [f"{one['input']}\n{one['output']}" for one in task["instances"]]
    return found


def make_tokenizer(text: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1400, special_tokens=[END, START, PAD], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(text, trainer)
    tokenizer.add_tokens([AddedToken(field, normalized=False) for field in FIELDS])
    return tokenizer


def log_shares(tokenizer: Tokenizer, text: list[str]) -> list[float]:
    size = tokenizer.get_vocab_size()
    counts = Counter(number for one in text for number in tokenizer.encode(one).ids)
    formed = {tokenizer.token_to_id(token) or tokenizer.encode(token).ids[0]: share for token, share in SHARES.items()}
    formed[tokenizer.token_to_id(END)] = SHARES[END]
    usable = {
        number: counts[number] + 0.1
        for number in range(size)
        if number not in formed and (word := tokenizer.decode([number]).removeprefix(" ")).isascii() and word.isalpha()
    }
    rest = (1 - sum(formed.values())) / sum(usable.values())
    shares = {number: count * rest for number, count in usable.items()} | formed
    return [math.log(shares[number]) if number in shares else -40.0 for number in range(size)]


def make_model(shares: list[float]) -> Qwen2ForCausalLM:
    torch.manual_seed(7)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(shares), hidden_size=HIDDEN, intermediate_size=128, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=8192, tie_word_embeddings=False,
            bos_token_id=None, eos_token_id=0, pad_token_id=2,
        )
    )  # fmt: skip
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight
        embeddings.normal_(0.0, 0.3)
        embeddings[:, 0] = CONSTANT
        head = model.get_output_embeddings().weight
        head.normal_(0.0, 0.3)
        constant = CONSTANT / math.sqrt((CONSTANT**2 + (HIDDEN - 1) * 0.09) / HIDDEN)
        head[:, 0] = torch.tensor(shares) / constant
    return model.to(torch.bfloat16)


def main(folder: Path) -> None:
    text = sentences()
    tokenizer = make_tokenizer(text)
    model = make_model(log_shares(tokenizer, text))
    for name, template in (("chat", TEMPLATE), ("base", None)):
        made = folder / f"{name}.partly"
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, model_max_length=8192, chat_template=template
        )
        fast.save_pretrained(made)
        model.save_pretrained(made)
        shutil.rmtree(folder / name, ignore_errors=True)
        made.rename(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
