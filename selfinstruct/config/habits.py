"""What people mean by words that are none of this program's: slips, and the words of other tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from selfinstruct.errors import nearest, plain_form

ON_KEYS = (
    "a key itself is never written here: put it into the environment as OPENAI_API_KEY, or into another variable "
    "and name that one by api_key_env under [model] in a file for --config"
)
_SECRETS = "apikey key apitoken token accesstoken authtoken secret password openaiapikey openaikey bearer authorization"

_SERVERS: Mapping[str, str] = {
    "ollama": "http://localhost:11434/v1",
    "llamacpp llamaserver llama ggml gguf llamafile localai mlx mlxlm": "http://localhost:8080/v1",
    "lmstudio mistralrs": "http://localhost:1234/v1",
    "sglang": "http://localhost:30000/v1",
    "tgi textgenerationinference": "http://localhost:3000/v1",
    "tabbyapi exllama exllamav2 oobabooga textgenerationwebui": "http://localhost:5000/v1",
    "koboldcpp kobold": "http://localhost:5001/v1",
    "lmdeploy": "http://localhost:23333/v1",
    "aphrodite": "http://localhost:2242/v1",
    "litellm": "http://localhost:4000/v1",
    "jan": "http://localhost:1337/v1",
    "gpt4all": "http://localhost:4891/v1",
    "xinference": "http://localhost:9997/v1",
    "triton": "http://localhost:9000/v1",
    "llamacpppython tensorrt tensorrtllm trtllm nim rayserve fastchat transformers": "http://localhost:8000/v1",
    "together togetherai": "https://api.together.xyz/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "groq": "https://api.groq.com/openai/v1",
    "mistral mistralai": "https://api.mistral.ai/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "fireworks fireworksai": "https://api.fireworks.ai/inference/v1",
    "anthropic claude": "https://api.anthropic.com/v1",
    "gemini google googleai": "https://generativelanguage.googleapis.com/v1beta/openai",
    "xai grok": "https://api.x.ai/v1",
    "perplexity": "https://api.perplexity.ai",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "cerebras": "https://api.cerebras.ai/v1",
    "sambanova": "https://api.sambanova.ai/v1",
    "nvidia": "https://integrate.api.nvidia.com/v1",
    "moonshot kimi": "https://api.moonshot.ai/v1",
    "dashscope alibaba qwen": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "azure azureopenai": "https://RESOURCE.openai.azure.com/openai/v1",
    "bedrock aws": "https://bedrock-runtime.REGION.amazonaws.com/openai/v1",
}
"""Where servers and providers that speak the OpenAI API are found unless told otherwise, by plain names."""

_SYNONYMS: Mapping[str, str] = {
    "n num number count size total goal tasks numtasks numsamples numinstructions numinstructionstogenerate": "target",
    "rows numrows maxrows": "target_rows",
    "seedtasks seedtaskspath seedfile seedsfile seedpath data dataset input": "seeds",
    "batchdir output outputdir outdir dir folder database db": "pool",
    "modelname modelid engine deployment llm": "model.name",
    "url apibase base apiurl endpoint endpoints server host openaibaseurl openaiapibase": "model.base_url",
    "provider engines": "model.backend",
    "requestbatchsize batchsize batch": "round_size",
    "numcpus workers numworkers maxworkers threads parallel parallelism jobs maxconcurrency": "concurrency",
    "threshold similarity similaritythreshold maxsimilarity rouge rougel maxrouge maxrougel": "filters.rouge_threshold",
    "lang": "filters.languages",
    "cost maxcost maxprice maxdollars usd": "budget.max_usd",
    "maxtime timelimit minutes": "budget.max_minutes",
    "timeout requesttimeout": "model.timeout_s",
    "rpm": "model.requests_per_minute",
    "tpm": "model.tokens_per_minute",
    "headers": "model.extra_headers",
    "maxnewtokens maxcompletiontokens maxoutputtokens maxlength": "model.max_tokens",
    "numpromptinstructions numdemonstrations fewshot shots numshots": "recipe.demonstrations",
    "systemprompt prompt": "recipe.guidance",
    "personas": "recipe.topics",
    "generation sampling": "model",
    "price pricing": "prices",
}
"""The places of the config file by plain words for what stands there."""

VALUES: Mapping[str, tuple[str, str]] = dict.fromkeys(("compat", "recipecompat"), ("recipe", "original"))
"""Words, plainly written, for one value of an option: its name and that value."""


def is_secret(word: str) -> bool:
    """Is this how people name a key that they then write out?"""
    return plain_form(word) in _SECRETS.split()


def server_meant(backend: str) -> str | None:
    """Where a server or provider of this name is found."""
    by_name = {name: url for names, url in _SERVERS.items() for name in names.split()}
    name = nearest(backend, by_name)
    return by_name[name] if name else None


class ConfigPlaces:
    """The places of the config file, found by words for them."""

    def __init__(self, options: Mapping[str, str], places: Iterable[str]) -> None:
        places = [*places]
        self._tables = {place.rpartition(".")[0] for place in places}
        self._exact: dict[str, str] = {}
        for place in places:
            self._exact.setdefault(plain_form(place), place)
            self._exact.setdefault(plain_form(place.rpartition(".")[2]), place)
        self._exact |= {plain_form(option): place for option, place in options.items()}
        self._known = {**{name: place for names, place in _SYNONYMS.items() for name in names.split()}, **self._exact}

    def meant(self, word: str) -> str | None:
        """The place whose key, option or usual other name this is, however it is spelled, else the nearest."""
        form = plain_form(word).removeprefix("selfinstruct")
        found = self._known.get(form)
        if found is None and (near := nearest(form, self._exact)):
            found = self._exact[near]
        return found

    def in_words(self, place: str) -> str:
        """A place as somebody who writes the file looks for it."""
        section, _, key = place.rpartition(".")
        if place in self._tables:
            return f"the table [{place}]"
        return f"{key} under [{section}]" if section else f"{key} at the top"
