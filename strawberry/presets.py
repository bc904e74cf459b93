"""Named presets, ``family-size``: a family says what the model is, a size how much of it there is."""

from dataclasses import dataclass
from typing import Any

from strawberry.config import Config
from strawberry.errors import ConfigError


@dataclass(frozen=True)
class Family:
    """One line that says what the family is, and the fields in which it differs from the default configuration."""

    about: str
    fields: dict[str, Any]


FAMILIES: dict[str, Family] = {
    "strawberry": Family(
        "weights made from earlier chunks of the text (causal Retention), AFT and The Expert Abundance",
        {},
    ),
    "strawberry-leaky": Family(
        "READS THE FUTURE: the published Retention, whose weights are made from the whole batch; a positive control",
        {"pooling": "batch", "scale": "raw", "base_scale": "fan_in"},
    ),
    "strawberry-static": Family(
        "the same update rule on learned weights that ignore the input; the control for Retention",
        {"pooling": "static"},
    ),
    "strawberry-shared": Family(
        "the second design: one low-rank pair of matrices makes all layers' weights; three AFT layers to an Abundance",
        {"weights": "shared", "sharing": "sequence"},
    ),
    "retnet": Family(
        "a RetNet: retention in place of attention, so that decoding takes constant time and memory",
        {"weights": "learned", "mixer": "retention", "loops": 1, "n_experts": 1, "top_k": 1},
    ),
    "yoco": Family(
        "a decoder–decoder: a lower half of gated retention writes one memory, an upper half reads it",
        {"weights": "learned", "loops": 1, "n_experts": 1, "top_k": 1},
    ),
    "yoco-bit": Family(
        "YOCO on BitNet: the same decoder–decoder, its matrices rounded to −1, 0 and 1 and their inputs to 8 bits",
        {"weights": "learned", "rounding": "ternary", "loops": 1, "n_experts": 1, "top_k": 1},
    ),
    "mor": Family(
        "a mixture of recursions: a router gives each token its own number of passes over a shared stack",
        {"weights": "learned", "mixer": "softmax", "loops": 3, "recursion": "token-choice", "n_experts": 1, "top_k": 1},
    ),
    "homunculus": Family(
        "thinks again: more passes over a shared stack until it is confident, token by token",
        {
            "weights": "learned",
            "mixer": "softmax",
            "loops": 4,
            "halting": "confidence",
            "activation": "gelu",
            "n_experts": 1,
            "top_k": 1,
        },
    ),
    "gpt": Family(
        "a modern GPT on the same parts: softmax attention, learned weights, one pass",
        {"weights": "learned", "mixer": "softmax", "loops": 1, "n_experts": 1, "top_k": 1},
    ),
}

_SIZES: dict[str, dict[str, Any]] = {
    "pico": {
        "vocab_size": 512, "seq_len": 64, "d_model": 32, "d_qkv": 32, "n_heads": 4, "n_layers": 2, "chunk": 16,
        "mixer": "aft,abundance", "windows": (4, 16, 32, 0), "d_ff": 32, "batch_size": 8,
    },
    "nano": {
        "vocab_size": 1024, "seq_len": 288, "d_model": 128, "d_qkv": 128, "n_heads": 4, "n_layers": 3, "chunk": 96,
        "mixer": "aft,aft,abundance", "windows": (8, 32, 128, 0), "d_ff": 128, "batch_size": 16,
    },
    "small": {
        "vocab_size": 8192, "seq_len": 1024, "d_model": 768, "d_qkv": 768, "n_heads": 12, "n_layers": 8, "chunk": 256,
        "mixer": "aft,aft,aft,abundance", "windows": (8, 32, 128, 0), "n_experts": 8, "d_ff": 320,
        "batch_size": 8, "grad_accum": 8, "learning_rate": 0.005, "warmup_steps": 300,
    },
}  # fmt: skip


def _halves(layers: int) -> str:
    """A decoder–decoder's pattern: ``layers`` that write, and as many that read."""
    return ",".join(["gated-retention"] * layers + ["cross"] * layers)


# A family of other shape states its own numbers; at the size of GPT-2 they bring all families to 124M.
_OVERRIDES: dict[str, dict[str, Any]] = {
    "strawberry-shared-pico": {"n_layers": 4, "mixer": "aft,aft,aft,abundance"},
    "strawberry-shared-nano": {"n_layers": 4, "mixer": "aft,aft,aft,abundance"},
    "strawberry-shared-small": {"d_ff": 784},
    "retnet-pico": {"n_layers": 3, "d_ff": 96},
    "retnet-nano": {"n_layers": 5, "d_ff": 384},
    "retnet-small": {"n_layers": 16, "d_ff": 1920},
    "yoco-pico": {"n_layers": 4, "d_ff": 96, "mixer": _halves(2)},
    "yoco-nano": {"n_layers": 6, "d_ff": 320, "mixer": _halves(3)},
    "yoco-small": {"n_layers": 16, "d_ff": 2176, "mixer": _halves(8)},
    "yoco-bit-pico": {"n_layers": 4, "d_ff": 96, "mixer": _halves(2)},
    "yoco-bit-nano": {"n_layers": 6, "d_ff": 320, "mixer": _halves(3)},
    "yoco-bit-small": {"n_layers": 16, "d_ff": 2176, "mixer": _halves(8)},
    "mor-pico": {"d_ff": 96},
    "mor-nano": {"d_ff": 384},
    "mor-small": {"n_layers": 16, "d_ff": 2176, "batch_size": 4, "grad_accum": 16},
    "homunculus-pico": {"d_ff": 96, "n_kv_heads": 2},
    "homunculus-nano": {"n_layers": 2, "d_ff": 512, "n_kv_heads": 2},
    "homunculus-small": {
        "n_layers": 16,
        "d_ff": 2512,
        "n_kv_heads": 4,
        "batch_size": 4,
        "grad_accum": 16,
    },
    "gpt-pico": {"n_layers": 3, "d_ff": 96},
    "gpt-nano": {"n_layers": 5, "d_ff": 384},
    "gpt-small": {"n_layers": 16, "d_ff": 2176},
    "strawberry-static-small": {"d_ff": 416},
    "strawberry-leaky-small": {"d_ff": 352},
}


def families() -> dict[str, str]:
    """Each family's name and the one line that says what it is."""
    return {name: family.about for name, family in FAMILIES.items()}


def presets() -> list[str]:
    """The names of all presets: sizes pico (tests), nano (live on a laptop's CPU) and small (about 124M, for a GPU)."""
    return [f"{family}-{size}" for family in FAMILIES for size in _SIZES]


def preset(name: str, **overrides: Any) -> Config:
    """The configuration of a preset, with some fields changed.

    Raises :class:`ConfigError` naming the choices when the preset, a field or a value is unknown.
    """
    family, _, size = name.rpartition("-")
    if family not in FAMILIES or size not in _SIZES:
        raise ConfigError(f"preset {name!r} is unknown; the presets are {', '.join(presets())}")
    fields = {"family": family, **_SIZES[size], **FAMILIES[family].fields, **_OVERRIDES.get(name, {}), **overrides}
    return Config().replace(**fields)
