"""A stand-in for `llama_cpp`: as much of it as we use, with a model that is a function."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import jinja2

from tests import gguf

BOS, EOS = 1, 2
SPECIAL = {"<s>": BOS, "</s>": EOS}

Model = Callable[["StandIn"], Iterable[str]]


class StandIn:
    """As much of `llama_cpp` as is used. A token is a character, or one of `SPECIAL`.

    `model` says a reply piece by piece; it can ask `self.told_to_stop()`, as the library does while
    it reads a prompt.
    """

    def __init__(self, model: Model, *, template: str | None = gguf.TEMPLATE) -> None:
        self.loads: list[dict[str, Any]] = []
        self.prompts: list[list[int]] = []
        self.grammars: list[Any] = []
        self.resets = 0
        self.n_tokens = 0
        self.closed = False
        self.load_gate: threading.Event | None = None
        self.load_error: Exception | None = None
        self._model, self._template = model, template
        self._abort: Callable[[None], bool] | None = None

    def told_to_stop(self) -> bool:
        return self._abort is not None and self._abort(None)

    def install(self) -> str:
        """Make it importable; returns the name to import."""
        module = ModuleType(f"stand_in_llama_{id(self)}")
        module.__spec__ = ModuleSpec(module.__name__, None)
        module.Llama = self._load
        module.LlamaGrammar = SimpleNamespace(from_json_schema=lambda text, verbose: text)
        module.llama_chat_format = SimpleNamespace(Jinja2ChatFormatter=self._formatter)
        module.ggml_abort_callback = lambda function: function or None
        module.llama_set_abort_callback = lambda context, callback, data: setattr(
            self, "_abort", callback
        )
        module.llama_model_get_vocab = lambda model: "vocabulary"
        module.llama_vocab_is_eog = lambda vocabulary, token: token == EOS
        module.llama_vocab_get_add_bos = lambda vocabulary: True
        module.llama_vocab_get_text = lambda vocabulary, token: {BOS: b"<s>", EOS: b"</s>"}[token]
        sys.modules[module.__name__] = module
        return module.__name__

    def _load(self, model_path: str, **options: Any) -> StandIn:
        self.loads.append(options)
        if self.load_gate is not None:
            self.load_gate.wait(timeout=60)
        if self.load_error is not None:
            raise self.load_error
        self.metadata = {"tokenizer.chat_template": self._template} if self._template else {}
        self.ctx = self.model = "handle"
        self._context = options["n_ctx"]
        return self

    def _formatter(self, template: str, bos_token: str, eos_token: str) -> Any:
        def refuse(why: str) -> None:
            raise ValueError(why)

        rendered = jinja2.Template(template, trim_blocks=True).render

        def render(messages: list[dict[str, str]]) -> Any:
            values = {"bos_token": bos_token, "raise_exception": refuse}
            return SimpleNamespace(prompt=rendered(messages=messages, **values))

        return render

    def n_ctx(self) -> int:
        return self._context

    def token_bos(self) -> int:
        return BOS

    def token_eos(self) -> int:
        return EOS

    def tokenize(self, text: bytes, *, add_bos: bool, special: bool) -> list[int]:
        tokens, rest = [], text.decode()
        while rest:
            mark = next((one for one in SPECIAL if special and rest.startswith(one)), None)
            tokens.append(SPECIAL[mark] if mark else ord(rest[0]))
            rest = rest[len(mark or "x") :]
        return tokens

    def detokenize(self, tokens: list[int]) -> bytes:
        return "".join(map(chr, tokens)).encode()

    def generate(self, tokens: list[int], *, temp: float, grammar: Any) -> Iterator[int]:
        self.prompts.append(list(tokens))
        self.grammars.append(grammar)
        for piece in self._model(self):
            yield from map(ord, piece)
        yield EOS

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True


def says(*replies: str) -> Model:
    """A model that gives these replies, one a call, the last one for ever."""
    left = list(replies)

    def model(library: StandIn) -> Iterable[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return model
