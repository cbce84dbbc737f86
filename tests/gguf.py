"""A language model of a few hundred kilobytes, made up on the spot: it loads, runs, and says noise.

It tests plumbing, never answers. The container is version 3 of the format that
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md describes; the network is a llama with two
layers of seeded random numbers, and the vocabulary every byte and a few words.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

Value = str | bool | int | float | Sequence[str] | Sequence[int] | Sequence[float]

_ALIGNMENT: Final = 32
_SCALARS: Final = {bool: (7, "<?"), int: (4, "<I"), float: (6, "<f")}  # type number, layout
_TEXT, _ARRAY = 8, 9
_ELEMENT: Final = {str: (_TEXT, ""), int: (5, "<i"), float: (6, "<f")}
_F32: Final = 0

_WIDTH, _LAYERS, _HEADS, _INNER, _CONTEXT = 64, 2, 4, 128, 512
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6  # kinds of token
_SPECIAL: Final = ("<unk>", "<s>", "</s>")
_WORDS: Final = ("\u2581", "\u2581the", "\u2581bell", "\u2581was", "\u2581cast", "e", "a", "t")

TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ message['role'] }}: {{ message['content'] | trim }}\n{% endfor %}assistant:"
)


def write(path: Path, *, seed: int = 1, **metadata: Value) -> Path:
    """A whole model at `path`. Names in `metadata` have `__` for a point, and replace ours."""
    wanted = {name.replace("__", "."): value for name, value in metadata.items()}
    path.write_bytes(container({**_metadata(), **wanted}, _tensors(np.random.default_rng(seed))))
    return path


def container(
    metadata: Mapping[str, Value], tensors: Mapping[str, np.ndarray] | None = None
) -> bytes:
    """The bytes of a file with this metadata and these tensors."""
    tensors = tensors or {}
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(_text(name) + _value(value) for name, value in metadata.items())
    data = b""
    for name, tensor in tensors.items():
        head += _text(name) + struct.pack("<I", tensor.ndim)
        head += struct.pack(f"<{tensor.ndim}Q", *reversed(tensor.shape))
        head += struct.pack("<IQ", _F32, len(data))
        data += _padded(tensor.astype("<f4").tobytes())
    return _padded(head) + data


def _metadata() -> dict[str, Value]:
    tokens = [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *_WORDS]
    kinds = [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256, *[_NORMAL] * len(_WORDS)]
    return {
        "general.architecture": "llama",
        "general.name": "Tiny Noise",
        "llama.context_length": _CONTEXT,
        "llama.embedding_length": _WIDTH,
        "llama.block_count": _LAYERS,
        "llama.feed_forward_length": _INNER,
        "llama.attention.head_count": _HEADS,
        "llama.attention.head_count_kv": _HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": _WIDTH // _HEADS,
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.chat_template": TEMPLATE,
    }


def _tensors(rng: np.random.Generator) -> dict[str, np.ndarray]:
    vocabulary = len(_SPECIAL) + 256 + len(_WORDS)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (vocabulary, _WIDTH)}
    for layer in range(_LAYERS):
        square = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (_WIDTH, _WIDTH))
        wide = {"ffn_gate": (_INNER, _WIDTH), "ffn_up": (_INNER, _WIDTH)}
        norms = {"attn_norm": (_WIDTH,), "ffn_norm": (_WIDTH,)}
        each = {**norms, **square, **wide, "ffn_down": (_WIDTH, _INNER)}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in each.items()}
    shapes |= {"output_norm": (_WIDTH,), "output": (vocabulary, _WIDTH)}
    tensors = {
        f"{name}.weight": np.ones(shape) if "norm" in name else rng.normal(0.0, 0.05, shape)
        for name, shape in shapes.items()
    }
    tensors["output.weight"][_SPECIAL.index("</s>")] = 0.0  # at temperature 0 it never ends
    return tensors


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", _TEXT) + _text(value)
    if not isinstance(value, Sequence):
        number, layout = _SCALARS[type(value)]
        return struct.pack("<I", number) + struct.pack(layout, value)
    number, layout = _ELEMENT[type(value[0])]
    each = [_text(one) if isinstance(one, str) else struct.pack(layout, one) for one in value]
    return struct.pack("<IIQ", _ARRAY, number, len(value)) + b"".join(each)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)
