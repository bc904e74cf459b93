"""The configuration of a model and its training: one frozen dataclass, checked when it is made."""

import dataclasses
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

from strawberry.errors import ConfigError
from strawberry.fields import checked, model, training


@dataclass(frozen=True)
class Config:
    """Everything that a run needs to be repeated, besides its data and its number of steps.

    Raises :class:`ConfigError` when a value cannot work. ``metadata`` of each field holds its group
    (``model`` or ``training``), a sentence of help, and its choices or bounds.
    """

    family: str = model("strawberry", "the family of the preset that this configuration came from")
    vocab_size: int = model(1024, "number of token ids", low=2)
    seq_len: int = model(256, "tokens per training sequence", low=1)
    d_model: int = model(128, "width of the residual stream (C)", low=2)
    n_layers: int = model(3, "layers in the shared stack", low=1, high=1000)
    loops: int = model(2, "passes over the shared stack (R)", low=1, high=1000)
    sharing: str = model(
        "cycle", "order of the passes: the stack again and again, each layer several times in a row, or all but the "
        "first and the last layer again and again", ("cycle", "sequence", "middle-cycle"),
    )  # fmt: skip
    recursion: str = model(
        "all", "who goes through all passes: every token, or a depth chosen by each token or, top-k, by each pass",
        ("all", "token-choice", "expert-choice"),
    )  # fmt: skip
    auxiliary: bool = model(True, "expert choice decides by a causal auxiliary router; without it, it reads the future")
    depth_cache: str = model(
        "active", "keys and values of a deeper pass: of its own tokens, or of all tokens from the first pass",
        ("active", "first"),
    )  # fmt: skip
    halting: str = model(
        "none", "what a head learns to stop early by: its own loss as confidence, or a distribution over the passes",
        ("none", "confidence", "distribution"),
    )  # fmt: skip
    n_heads: int = model(4, "heads of a mixer (H)", low=1)
    n_kv_heads: int = model(0, "heads of k and v, each shared by n_heads / n_kv_heads heads of q; 0 is n_heads", low=0)
    d_qkv: int = model(128, "width of q, k and v, all heads together (D)", low=2)
    mixer: str = model("aft", "token mixer, or a comma-separated pattern repeated over the layers")
    weights: str = model(
        "retention",
        "who makes the projection weights: the Retention Mechanism, learned ones, or a low-rank pair for all layers",
        ("retention", "learned", "shared"),
    )  # fmt: skip
    rounding: str = model(
        "none", "what learned matrices are rounded to where they multiply: to -1, 0 and 1 (BitNet b1.58), or to their "
        "signs (BitNet); their inputs then to 8 bits", ("none", "ternary", "sign"),
    )  # fmt: skip
    pooling: str = model(
        "prefix",
        "what the Retention Mechanism reads: earlier chunks (prefix), every earlier token through a linear memory or "
        "one that is corrected (delta), nothing (static), or the whole batch (reads the future)",
        ("prefix", "linear", "delta", "static", "batch"),
    )
    chunk: int = model(64, "tokens that share one set of generated weights (c)", low=1)
    decay: float = model(1.0, "how much of the retained statistics survives one token (gamma)")
    prior: float = model(16.0, "weight of the learned prior statistics, in tokens (kappa)")
    scale: str = model("fan_in", "scale of the weights at use: times fan_in^-1/2, or as published", ("fan_in", "raw"))
    base_scale: str = model(
        "unit", "size of the base weights at the start: RMS 1 (unit) or fan_in^-1/2", ("unit", "fan_in")
    )
    rank: int = model(0, "rank of the shared weights and of aft-full's biases; 0 is a quarter of d_model", low=0)
    conv: int = model(0, "tokens that a short causal convolution of q, k and v reads; 0 is none", low=0, high=64)
    input_gate: bool = model(False, "pass each block's input x through the gate sigmoid(W x) * x")
    window: int = model(64, "tokens that the window mixer reads, or that aft-local and aft-conv have biases for", low=1)
    sinks: int = model(0, "first tokens of the text that the window mixer keeps reading", low=0)
    segment: int = model(64, "tokens of one segment of Infini-attention", low=1)
    windows: tuple[int, ...] = model((8, 32, 128, 0), "window of each attention expert in tokens; 0 reads everything")
    attention_top_k: int = model(2, "attention experts per token", low=1)
    n_experts: int = model(4, "experts of each SwiGLU; 1 is a dense SwiGLU", low=1)
    top_k: int = model(2, "SwiGLU experts per token", low=1)
    d_ff: int = model(128, "hidden width of one feed-forward expert; 0, with one expert, leaves the layer out", low=0)
    activation: str = model("silu", "gate of the feed-forward layers: SwiGLU or GeGLU", ("silu", "gelu"))
    routing: str = model("softmax", "how a router scores its experts", ("softmax", "sigmoid"))
    balance: str = model(
        "switch", "how experts are kept in use: an auxiliary loss, a bias moved after each step, or not at all",
        ("switch", "bias", "none"),
    )  # fmt: skip
    balance_coef: float = model(0.01, "weight of the balance loss, or the step of the balance bias", low=0)
    z_coef: float = model(0.001, "weight of the router z-loss", low=0)
    rope_base: float = model(10000.0, "base of the rotary position embedding's wavelengths", low=1)
    seed: int = model(0, "seed of the weights, the data order and the samples", low=0)

    tokenizer: str = training("bpe", "how text becomes tokens", ("bpe", "bytes", "chars"))
    train_fraction: float = training(0.8, "share of the text, by document, that is trained on")
    depth: str = training(
        "fixed", "passes in training: the number given (loops), or drawn anew about it", ("fixed", "random")
    )
    backprop_loops: int = training(0, "passes, counted from the last, that gradients go back through; 0 is all", low=0)
    max_loops: int = training(10, "most passes that training adds while the loss is high", low=1, high=100)
    think_above: float = training(
        0.0, "training adds passes while the loss, in nats per token, is above; 0 never", low=0
    )
    loss_threshold: float = training(6.0, "loss in nats per token at which the target confidence is 0", low=1e-3)
    halting_prior: str = training("entropy", "what keeps a learned exit distribution wide", ("entropy", "geometric"))
    halting_coef: float = training(0.05, "weight of the confidence's loss, or of the exit distribution's prior", low=0)
    batch_size: int = training(16, "sequences per micro-batch", low=1)
    grad_accum: int = training(1, "micro-batches per optimiser step", low=1)
    optimizer: str = training(
        "muon", "muon (with AdamW for all but hidden matrices), adamw, or adam", ("muon", "adamw", "adam")
    )
    learning_rate: float = training(0.01, "highest learning rate", low=0)
    min_lr: float = training(0.0, "learning rate at the end of the cosine", low=0)
    schedule: str = training(
        "cosine", "how the learning rate falls: along a cosine at the end, or in steps", ("cosine", "step")
    )
    step_size: int = training(100, "steps between two falls of the step schedule", low=1)
    step_gamma: float = training(0.5, "factor of each fall of the step schedule", low=0, high=1)
    warmup_steps: int = training(20, "steps of linear warm-up", low=0)
    cooldown_frac: float = training(0.5, "share of the steps, at the end, in which the cosine falls", low=0)
    decay_lr: bool = training(True, "let the learning rate fall at all; otherwise constant after the warm-up")
    beta1: float = training(0.9, "Adam's and AdamW's decay of the mean gradient", low=0)
    beta2: float = training(0.95, "Adam's and AdamW's decay of the squared gradient", low=0)
    eps: float = training(1e-10, "Adam's and AdamW's epsilon", low=0)
    weight_decay: float = training(
        0.1, "weight decay of hidden matrices, decoupled; with adam it is L2 in the gradient, and better 0", low=0
    )
    momentum: float = training(0.95, "Muon's momentum after its warm-up", low=0)
    grad_clip: float = training(1.0, "largest norm of the gradient; 0 leaves it as it is", low=0)
    precision: str = training("auto", "arithmetic of the forward pass", ("auto", "fp32", "bf16"))
    device: str = training("auto", "where to train: auto takes a GPU where there is one", ("auto", "cpu", "cuda"))
    compile: bool = training(False, "compile the training step (first step takes half a minute or more)")

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, checked(item, getattr(self, item.name)))
        self._check_together()

    def _check_together(self) -> None:
        from strawberry.mixers import MIXERS

        for name in self.mixers:
            if name not in MIXERS:
                raise ConfigError(f"mixer {name!r} is unknown; the mixers are {', '.join(MIXERS)}")
        pattern = self.mixer.split(",")
        if len(pattern) > self.n_layers:
            raise ConfigError(
                f"the mixer pattern names {len(pattern)} layers, n_layers is {self.n_layers}; shorten it or add layers"
            )
        if self.d_qkv % (2 * self.n_heads):
            raise ConfigError(f"d_qkv {self.d_qkv} must be a multiple of 2 × n_heads ({2 * self.n_heads})")
        if self.n_heads % self.kv_heads:
            raise ConfigError(f"n_kv_heads {self.n_kv_heads} must divide n_heads ({self.n_heads})")
        if self.rounding != "none" and self.weights != "learned":
            raise ConfigError(
                f"rounding {self.rounding} is for weights that are learned and kept, not for such as are made from "
                f"others; set weights to learned, not {self.weights}"
            )
        self._check_cross()
        self._check_recursion()
        if not 0 < self.decay <= 1:
            raise ConfigError(f"decay must lie in (0, 1]; got {self.decay}")
        if self.prior <= 0:
            raise ConfigError(f"prior must be above 0, or the first chunk would have no weights; got {self.prior}")
        if not 0 < self.train_fraction < 1:
            raise ConfigError(f"train_fraction must lie between 0 and 1; got {self.train_fraction}")
        if self.cooldown_frac > 1:
            raise ConfigError(f"cooldown_frac must lie in [0, 1]; got {self.cooldown_frac}")
        for name in ("beta1", "beta2", "momentum"):
            if getattr(self, name) >= 1:
                raise ConfigError(f"{name} must lie in [0, 1); got {getattr(self, name)}")
        if self.top_k > self.n_experts:
            raise ConfigError(f"top_k {self.top_k} is more than n_experts {self.n_experts}; lower it or add experts")
        if self.d_ff == 0 and self.n_experts > 1:
            raise ConfigError(f"d_ff 0 leaves the feed-forward layer out: set n_experts to 1, not {self.n_experts}")
        if "abundance" in self.mixers:
            if not self.windows or min(self.windows) < 0:
                raise ConfigError("windows needs one or more sizes ≥ 0, one per attention expert, such as 8,32,0")
            if self.n_heads % len(self.windows):
                raise ConfigError(
                    f"n_heads {self.n_heads} must be a multiple of the number of windows ({len(self.windows)})"
                )
            if self.attention_top_k > len(self.windows):
                raise ConfigError(
                    f"attention_top_k {self.attention_top_k} is more than the {len(self.windows)} windows"
                )
            if self.weights == "retention" and self.d_model % self.n_experts:
                raise ConfigError(f"d_model {self.d_model} must be a multiple of n_experts ({self.n_experts})")

    def _check_cross(self) -> None:
        cross = [name == "cross" for name in self.mixers]
        if not any(cross):
            return
        if cross != sorted(cross) or all(cross):
            raise ConfigError(
                "cross layers read a memory that lower layers make: put one or more other mixers first, and no other "
                f"after the first cross; got {', '.join(self.mixers)}"
            )
        if self.sharing != "cycle":
            raise ConfigError(
                f"cross layers read one memory for each whole pass; set sharing to cycle, not {self.sharing}"
            )
        if self.weights != "learned":
            raise ConfigError(f"cross layers work on learned weights; set weights to learned, not {self.weights}")

    def _check_recursion(self) -> None:
        if self.sharing == "middle-cycle" and self.n_layers < 3:
            raise ConfigError(f"middle-cycle needs three layers or more; n_layers is {self.n_layers}")
        if self.backprop_loops and self.sharing != "cycle":
            raise ConfigError("backprop_loops would cut the layers that run once off; set sharing to cycle")
        per_token = self.recursion != "all"
        what = f"recursion {self.recursion}" if per_token else f"halting by {self.halting}"
        if per_token or self.halting != "none":
            if self.sharing != "cycle":
                raise ConfigError(f"{what} needs whole passes: set sharing to cycle, not {self.sharing}")
            if self.weights == "retention":
                raise ConfigError(f"{what} needs fixed weights: set weights to learned or shared")
            if "cross" in self.mixers:
                raise ConfigError(f"{what} does not work with cross layers, whose memory is written once")
            if self.backprop_loops:
                raise ConfigError(f"{what} learns from every pass: set backprop_loops to 0, which is all")
        if per_token and self.depth == "random":
            raise ConfigError(f"depth random is for models whose tokens all go through all passes, not for {what}")
        if per_token and self.halting != "none":
            raise ConfigError("choose one: recursion by a router, or halting by a head; set the other to all or none")
        if per_token and self.depth_cache == "first" and set(self.mixers) != {"softmax"}:
            raise ConfigError("depth_cache first needs keys that all passes can share: set mixer to softmax")

    @property
    def mixers(self) -> tuple[str, ...]:
        """The mixer of each layer: the pattern repeated to ``n_layers``."""
        pattern = [name.strip() for name in self.mixer.split(",")]
        return tuple(pattern[layer % len(pattern)] for layer in range(self.n_layers))

    @property
    def d_head(self) -> int:
        """Width of one head."""
        return self.d_qkv // self.n_heads

    @property
    def kv_heads(self) -> int:
        """Heads of k and v."""
        return self.n_kv_heads or self.n_heads

    @property
    def d_kv(self) -> int:
        """Width of k, and of v, all heads together."""
        return self.kv_heads * self.d_head

    @property
    def causal(self) -> bool:
        """False where later tokens are read: by the published Retention, and by expert choice without its auxiliary."""
        if self.recursion == "expert-choice" and not self.auxiliary:
            return False
        return self.weights != "retention" or self.pooling != "batch"

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; an unknown name raises :class:`ConfigError` naming the nearest ones."""
        known = [item.name for item in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(known)}"
                raise ConfigError(f"config has no field {name!r}; {hint}")
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary of every field."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`; missing fields take their defaults, unknown ones raise."""
        return cls().replace(**values)
