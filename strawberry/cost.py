"""What a configuration costs, before it is built: parameters, arithmetic, memory and state."""

import math
from dataclasses import dataclass

import torch

from strawberry.block import Block
from strawberry.config import Config
from strawberry.mixers.decayed import CHUNK
from strawberry.mixers.written import reading_cost, writing_cost
from strawberry.model import Strawberry
from strawberry.packed import packed_bytes
from strawberry.sharing import runs


@dataclass(frozen=True)
class Estimate:
    """The cost of a model and of training it.

    parameters: all of them. active_parameters: those that compute a given token. forward_flops_per_token: of a forward
    pass over seq_len tokens, two per multiply-add, matrix products only. flops_per_token: of training, three times
    that. memory_bytes: what training holds at its peak, to within a factor of two. state_size: numbers that decoding
    carries per row after seq_len tokens. weight_bytes: of all weights once trained, in fp32, or packed where they are
    rounded. bits_per_weight: the same for one weight on the average.
    """

    parameters: int
    active_parameters: int
    forward_flops_per_token: int
    flops_per_token: int
    memory_bytes: int
    state_size: int
    weight_bytes: int
    bits_per_weight: float


def estimate(config: Config) -> Estimate:
    """The cost of a configuration; builds nothing that takes memory."""
    with torch.device("meta"):
        model = Strawberry(config)
    parameters = sum(p.numel() for p in model.parameters())
    idle = 3 * config.d_model * config.d_ff * (config.n_experts - config.top_k) * config.n_layers
    forward = 2 * _multiply_adds(config, model)
    kept = _kept_bytes(config, model)
    return Estimate(
        parameters=parameters,
        active_parameters=parameters - (idle if config.n_experts > 1 else 0),
        forward_flops_per_token=forward,
        flops_per_token=3 * (forward + 2 * _asked(config) * config.vocab_size * config.d_model),
        memory_bytes=_training_memory(config, parameters),
        state_size=model.state_size(config.seq_len),
        weight_bytes=kept,
        bits_per_weight=8 * kept / parameters,
    )


def _kept_bytes(config: Config, model: Strawberry) -> int:
    """Bytes of the weights: matrices that are rounded where they multiply need not be kept in full."""
    return sum(
        packed_bytes(weight.shape, config.rounding)
        if kind == "matrix" and config.rounding != "none"
        else 4 * weight.numel()
        for _, weight, kind, _ in model.parameter_roles()
    )


def _generated(config: Config) -> int:
    return (3 * config.d_qkv + 2 * config.d_kv + config.d_model) * config.d_model


def _computed(config: Config) -> int:
    """Positions that the projections compute for a row; a last chunk that is shorter is filled up."""
    if config.weights != "retention" or config.pooling != "prefix" or config.seq_len <= config.chunk:
        return config.seq_len
    return math.ceil(config.seq_len / config.chunk) * config.chunk


def _sets_per_row(config: Config) -> float:
    """Generated weight sets per row of a batch; the first chunk's is shared by all rows."""
    if config.weights != "retention" or config.pooling not in ("prefix", "batch"):
        return 0
    if config.pooling == "batch":
        return 1 / config.batch_size
    return math.ceil(config.seq_len / config.chunk) - 1 + 1 / config.batch_size


def _multiply_adds(config: Config, model: Strawberry) -> int:
    c, d, seq = config.d_model, config.d_qkv, config.seq_len
    total = 0.0
    for index, block in enumerate(model.blocks):
        keys = 0 if block.reads_memory else 2 * config.d_kv
        owned = (2 * d + keys) * c
        projections = owned if config.weights == "learned" else _generated(config) * _computed(config) / seq
        projections += _reading(config)
        routers = config.n_experts * c * (config.n_experts > 1) * (1 + (block.swiglu_router is not None))
        feedforward = 3 * c * config.d_ff * (config.top_k if config.n_experts > 1 else 1)
        convolution = (d + keys) * config.conv
        gate = c * c if config.input_gate else 0
        each = projections + routers + feedforward + convolution + gate + block.mixer.multiply_adds(seq)
        total += _runs(config, index) * each
    total += 0 if model.memory is None else 2 * c * config.d_kv * config.loops
    once = sum(_making(config, block) for block in model.blocks)
    if model.shared is not None:
        once += model.shared.layers.numel() * model.shared.qkvo.shape[1] / (config.batch_size * seq)
    return round(total + once + config.vocab_size * c)


def _asked(config: Config) -> int:
    """How often more than once training asks for predictions: a halting head learns from every pass's loss."""
    return config.loops - 1 if config.halting != "none" else 0


def _runs(config: Config, layer: int) -> float:
    """How often a layer runs for a token: in a mixture of recursions, on the average if depths are even."""
    return (config.loops + 1) / 2 if config.recursion != "all" else runs(config, layer)


def _linear(config: Config) -> bool:
    """Whether weights are read from a memory, and never made."""
    return config.weights == "retention" and config.pooling in ("linear", "delta")


def _reading(config: Config) -> float:
    """Multiply-adds per token and pass of reading one layer's weights from the memory: one query, or two for swiglu."""
    if not _linear(config):
        return 0
    return 4 * reading_cost(config.seq_len, config.d_model, config.d_model) + _generated(config)


def _making(config: Config, block: Block) -> float:
    """Multiply-adds per token of making one layer's weights, once for all passes."""
    if block.retention is None:
        return 0
    c, seq = config.d_model, config.seq_len
    if _linear(config):
        delta = config.pooling == "delta"
        return 2 * c * c + c * delta + writing_cost(seq, c, c, delta)
    sets = _sets_per_row(config) * c * _generated(config) / seq
    if config.pooling == "static":
        return sets
    read = seq if config.pooling == "batch" else (math.ceil(seq / config.chunk) - 1) * config.chunk
    return sets + 3 * c * c * read / seq


def _training_memory(config: Config, parameters: int) -> int:
    tokens = config.batch_size * config.seq_len
    # Weight, what it is rounded to, gradient and one or two moments; then what the backward pass needs of each branch,
    # set and logit.
    held = parameters * ((3 if config.optimizer == "muon" else 4) + (config.rounding != "none"))
    hidden = 3 * config.d_ff * (config.top_k if config.n_experts > 1 else 1)
    branches = tokens * config.loops * config.n_layers * (14 * config.d_model + 12 * config.d_qkv + 2 * hidden)
    sets = config.batch_size * _sets_per_row(config) * config.n_layers * _generated(config) * (1 + config.loops)
    if _linear(config):
        # The memory at every chunk's start, then what each of four queries per pass meets near by and far back.
        chunk, c = min(config.seq_len, CHUNK), config.d_model
        sets = tokens * config.n_layers * (2 * c * c / chunk + 4 * config.loops * 2 * (chunk + c))
    logits = 3 * tokens * config.vocab_size
    return round(4 * (held + branches + sets + logits))
