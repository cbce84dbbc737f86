"""llama-cpp-python, and everything we know of it: load a file, say one reply, stop when told.

The texts of a request are never part of the chat template's rendering: the template is rendered
once, around two marks, and each text is cut into tokens by itself, as plain text. So what a
memory says cannot become one of the model's control tokens and speak as the system.

The library is loaded by name and on first use: it is an optional extra, and takes a tenth of a
second and 40 MB.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2

from synapse.core.effects import ModelRequest
from synapse.core.errors import ProviderError

LIBRARY: Final = "llama_cpp"
NOT_INSTALLED: Final = (
    'llama-cpp-python is not installed: pip install "synapse-spore[cortex]" (docs/cortex.md)'
)

_SYSTEM, _USER = "\ue000", "\ue001"  # private characters: they stand for the texts
_PLAIN: Final = f"{_SYSTEM}\n\nQuestion:\n{_USER}\n\nAnswer:\n"  # for a file without a template
# What loading may raise: the file is none, the memory is none, the template is none.
LOAD_ERRORS: Final = (ValueError, RuntimeError, OSError, AssertionError, MemoryError)
_TEMPLATE_ERRORS: Final = (  # and what rendering one may: templates are programs
    *(jinja2.TemplateError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(RuntimeError, MemoryError),
)


@dataclass(frozen=True, slots=True)
class Said:
    """What came of one request. A reply that was `stopped` is cut off.

    `tokens_in` is how many tokens of the prompt were read, or were known from the call before.
    """

    text: str
    tokens_in: int
    tokens_out: int
    stopped: bool


def installed(library: str = LIBRARY) -> bool:
    """Whether the library can be imported, as far as is known without importing it."""
    return importlib.util.find_spec(library) is not None


class LlamaEngine:
    """One loaded model. Used by one thread at a time; `close` frees its memory."""

    def __init__(
        self, file: Path, *, context_tokens: int, threads: int, library: str = LIBRARY
    ) -> None:
        """Load the file, which takes seconds. Raises ProviderError.

        While it loads, the library discards what this process writes to stdout and stderr.
        """
        self._library = imported(library)
        self._stopped: Callable[[], bool] = lambda: False
        try:
            self._model = self._library.Llama(
                str(file),
                n_ctx=context_tokens,
                n_threads=threads,
                n_threads_batch=threads,
                verbose=False,
            )
        except LOAD_ERRORS as error:
            raise ProviderError("gone", f"{file.name} cannot be loaded: {error}") from None
        self._vocabulary = self._library.llama_model_get_vocab(self._model.model)
        self._turns = self._rendered(self._model.metadata.get("tokenizer.chat_template"))
        # Both are kept here for as long as the library may call the first.
        self._watching = self._library.ggml_abort_callback(lambda _data: self._stopped())
        self._unwatched = self._library.ggml_abort_callback(0)

    def say(self, request: ModelRequest, stopped: Callable[[], bool]) -> Said:
        """Reply to a request. Ends soon after `stopped` says so. Raises ProviderError.

        While the prompt is read `stopped` is called from within the library; afterwards only
        between tokens, because each call from within waits for Python's lock.
        """
        prompt = self._prompt(request)
        room = min(request.tokens_max, self._model.n_ctx() - len(prompt))
        if room < 1:
            raise ProviderError(
                "request",
                f"the prompt has {len(prompt)} tokens and the context {self._model.n_ctx()}; "
                "raise cortex_context_tokens",
            )
        tokens: list[int] = []
        read = len(prompt)
        self._stopped = stopped
        self._watch(self._watching)
        try:
            with closing(self._tokens(prompt, request)) as generated:
                for token in generated:
                    if not tokens:
                        self._watch(self._unwatched)
                    if self._library.llama_vocab_is_eog(self._vocabulary, token):
                        break
                    tokens.append(token)
                    if stopped() or len(tokens) >= room:
                        break
        except RuntimeError as error:  # it was told to stop, or it failed; its state is half made
            read = min(read, self._model.n_tokens)
            self._model.reset()
            if not stopped():
                raise ProviderError("bad_reply", f"the model failed: {error}") from None
        finally:
            self._watch(self._unwatched)
        text = self._model.detokenize(tokens).decode("utf-8", "ignore") if tokens else ""
        return Said(text, read, len(tokens), stopped=stopped())

    def close(self) -> None:
        """Free the model's memory."""
        self._model.close()

    def _tokens(self, prompt: list[int], request: ModelRequest) -> Any:
        grammar = self._grammar(request.schema) if request.schema is not None else None
        return self._model.generate(prompt, temp=request.temperature, grammar=grammar)

    def _grammar(self, schema: Mapping[str, Any]) -> Any:
        try:
            return self._library.LlamaGrammar.from_json_schema(json.dumps(schema), verbose=False)
        except (ValueError, LookupError) as error:
            raise ProviderError(
                "request", f"no grammar can be made of the schema: {error}"
            ) from None

    def _watch(self, callback: Any) -> None:
        self._library.llama_set_abort_callback(self._model.ctx, callback, None)

    def _prompt(self, request: ModelRequest) -> list[int]:
        """The tokens of the whole prompt; only the template's own may be control tokens."""
        texts = {_SYSTEM: request.system, _USER: request.user}
        tokens: list[int] = []
        for turn in self._turns:
            text = texts.get(turn, turn).encode("utf-8", "replace")
            tokens += self._model.tokenize(text, add_bos=False, special=turn not in texts)
        first = self._model.token_bos()
        wanted = self._library.llama_vocab_get_add_bos(self._vocabulary) and tokens[:1] != [first]
        return [first, *tokens] if wanted else tokens

    def _rendered(self, template: str | None) -> list[str]:
        """The chat template around the marks. Raises ProviderError.

        Some templates know no system turn; then both texts share the user's.
        """
        if template is None:
            return _parts(_PLAIN)
        user = {"role": "user", "content": _USER}
        for turns in (
            [{"role": "system", "content": _SYSTEM}, user],
            [{"role": "user", "content": f"{_SYSTEM}\n\n{_USER}"}],
        ):
            try:
                prompt = self._library.llama_chat_format.Jinja2ChatFormatter(
                    template=template,
                    bos_token=self._text_of(self._model.token_bos()),
                    eos_token=self._text_of(self._model.token_eos()),
                )(messages=turns).prompt
            except _TEMPLATE_ERRORS:
                continue
            if _SYSTEM in prompt and _USER in prompt:
                return _parts(prompt)
        raise ProviderError("gone", "the model's chat template takes no question: use another file")

    def _text_of(self, token: int) -> str:
        if token < 0:  # there is none
            return ""
        text: bytes = self._library.llama_vocab_get_text(self._vocabulary, token)
        return text.decode("utf-8", "replace")


def _parts(prompt: str) -> list[str]:
    """The prompt, cut around the marks."""
    return [part for part in re.split(f"([{_SYSTEM}{_USER}])", prompt) if part]


def imported(library: str) -> Any:
    """The library. Raises ProviderError."""
    try:
        return importlib.import_module(library)
    except ImportError:
        raise ProviderError("gone", NOT_INSTALLED) from None
    except (RuntimeError, OSError) as error:  # built for another machine, or a part is missing
        raise ProviderError("gone", f"llama-cpp-python does not load here: {error}") from None
