"""The configuration file of the architecture's author, as it is: JSON with comments, mapped onto a run.

``KEYS`` says what each key is here. What has no counterpart:

- ``dataset.load_from_file`` changes nothing: ``path`` may be a text file, a folder, or the name of a corpus.
- ``model_path`` is where the final weights are written too, as safetensors. It also names the run folder if neither
  ``--run`` nor ``checkpoints.path`` does.
- ``encoder_path`` may be a tokenizer that a run has saved. Anything else is not read (a pickle could run code), and a
  new tokenizer is learned from the data.
- ``init_from`` is "scratch", "resume", or the folder of a run whose weights to begin with.
- ``r_layer`` and ``n_experts`` left out mean one pass and a dense SwiGLU, unless a preset is named beside the file.
"""

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import safetensors.torch

from strawberry.config import Config
from strawberry.data import CORPORA, Tokenizer, is_made
from strawberry.data.cache import write_atomically
from strawberry.errors import ConfigError, DataError, RunError
from strawberry.model import Strawberry
from strawberry.presets import preset
from strawberry.runs import CONFIG
from strawberry.weights import tensors_of

# Their key -> its type, and where it goes: a field of the configuration, an option of the trainer, or neither.
KEYS: dict[str, tuple[type, str]] = {
    "dataset.path": (str, "option data"),
    "dataset.data_division": (float, "field train_fraction"),
    "dataset.load_from_file": (bool, ""),
    "checkpoints.path": (str, "option run"),
    "checkpoints.interval": (int, "option checkpoint_every"),
    "checkpoints.create_checkpoints": (bool, ""),
    "model_hyperparams.vocab_size": (int, "field vocab_size"),
    "model_hyperparams.block_size": (int, "field seq_len"),
    "model_hyperparams.n_layer": (int, "field n_layers"),
    "model_hyperparams.n_head": (int, "field n_heads"),
    "model_hyperparams.n_embd": (int, "field d_model"),
    "model_hyperparams.n_qkv": (int, "field d_qkv"),
    "model_hyperparams.n_ffn": (int, "field d_ff"),
    "model_hyperparams.r_layer": (int, "field loops"),
    "model_hyperparams.n_experts": (int, "field n_experts"),
    "model_hyperparams.a_experts": (int, "field top_k"),
    "optimizer_hyperparams.eps": (float, "field eps"),
    "optimizer_hyperparams.beta1": (float, "field beta1"),
    "optimizer_hyperparams.beta2": (float, "field beta2"),
    "optimizer_hyperparams.weight_decay": (float, "field weight_decay"),
    "optimizer_hyperparams.use_muon": (bool, ""),
    "optimizer_hyperparams.momentum": (float, "field momentum"),
    "model_path": (str, ""),
    "encoder_path": (str, ""),
    "init_from": (str, ""),
    "seed": (int, "field seed"),
    "gradient_accumulation_steps": (int, "field grad_accum"),
    "batch_size": (int, "field batch_size"),
    "max_iters": (int, "option steps"),
    "eval_interval": (int, "option eval_every"),
    "log_interval": (int, ""),
    "eval_iters": (int, "option eval_batches"),
    "decay_lr": (bool, "field decay_lr"),
    "lr_decay_iters": (int, "option decay_steps"),
    "learning_rate": (float, "field learning_rate"),
    "cooldown_frac": (float, "field cooldown_frac"),
    "warmup_iters": (int, "field warmup_steps"),
    "min_lr": (float, "field min_lr"),
}
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass
class Asked:
    """What a file asks for: a configuration, options for the trainer, and notes on what was understood otherwise.

    ``export`` is a file for the final weights; ``random_seed`` is True when the seed was drawn just now.
    """

    config: Config | None
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    log_every: int | None = None
    export: Path | None = None
    random_seed: bool = False


def read(file: Path, base: Config | None = None) -> Asked:
    """What the file asks for, on top of ``base``; a run's own ``config.json`` is understood as well.

    Raises :class:`ConfigError` naming the file and its unknown keys, wrong values, or the line that is no JSON.
    """
    values = parse(file)
    if "family" in values:
        return Asked(Config.from_dict(values))
    found = dict(_flat(values, file))
    fields, options = _sorted(found)
    asked = Asked(None, options)
    for name in ("eval_every", "checkpoint_every", "decay_steps"):
        if options.get(name) == 0:
            options[name] = None
    if found.get("seed") == "auto":
        fields["seed"], asked.random_seed = secrets.randbelow(2**31), True
    if "optimizer_hyperparams.use_muon" in found:
        fields["optimizer"] = "muon" if found["optimizer_hyperparams.use_muon"] else "adamw"
    if not found.get("checkpoints.create_checkpoints", True):
        options["checkpoint_every"] = None
    asked.log_every = found.get("log_interval") or None
    _paths(asked, found, file)
    _origin(asked, found)
    if base is None:
        base = preset("strawberry-small", loops=1, n_experts=1, top_k=1)
    fields = {**_fitting(base, fields, asked.notes), **fields}
    asked.config = base.replace(**fields)
    return asked


def export(model: Strawberry, path: Path) -> None:
    """Write the model's weights as one safetensors file; raises :class:`RunError` when the disk refuses."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors_of(model).items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, safetensors.torch.save(tensors))
    except OSError as error:
        raise RunError(f"the final weights could not be written to {str(path)!r}: {error.strerror or error}") from None


def parse(file: Path) -> dict[str, Any]:
    """The object in a JSON file that may have comments (``//`` and ``/* */``) and trailing commas."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"configuration file {str(file)!r} cannot be read: {reason}") from None
    try:
        values = json.loads(_bare(text), object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{str(file)!r} is not valid JSON at line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{str(file)!r} is not a valid configuration: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f'{str(file)!r} must hold a JSON object, such as {{"max_iters": 1000}}')
    return values


def _bare(text: str) -> str:
    string = r'"(?:\\.|[^"\\\n])*"'

    def blank(match: "re.Match[str]") -> str:
        # Line breaks stay, so that an error names the right line.
        return match[0] if match[0].startswith('"') else "\n" * match[0].count("\n") or " "

    text = re.sub(rf"{string}|//[^\n]*|/\*.*?\*/", blank, text, flags=re.DOTALL)
    return re.sub(rf"({string})|,(\s*[}}\]])", lambda match: match[1] or match[2], text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return values


def _flat(values: dict[str, Any], file: Path) -> Iterator[tuple[str, Any]]:
    """Dotted keys and checked values; null counts as left out."""
    found: dict[str, Any] = {}
    groups = {key.split(".")[0] for key in KEYS if "." in key}
    for name, value in values.items():
        if name in groups and isinstance(value, dict):
            found |= {f"{name}.{inner}": part for inner, part in value.items()}
        elif name in groups and value is not None:
            raise ConfigError(f"{name} in {str(file)!r} must be an object in braces; got {value!r}")
        else:
            found[name] = value
    unknown = [key for key in found if key not in KEYS and key not in groups]
    if unknown:
        near = get_close_matches(unknown[0], KEYS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(KEYS)}"
        raise ConfigError(f"{str(file)!r} has unknown keys: {', '.join(unknown)}; {hint}")
    for key, value in found.items():
        if value is not None:
            yield key, value if (key, value) == ("seed", "auto") else _checked(key, value)


def _checked(key: str, value: Any) -> Any:
    kind = KEYS[key][0]
    if kind is float and type(value) is int:
        value = float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not kind:
        also = ' or "auto"' if key == "seed" else ""
        raise ConfigError(f"{key} must be {_WORDS[kind]}{also}; got {value!r}")
    return value


def _sorted(found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    places: dict[str, dict[str, Any]] = {"field": {}, "option": {}}
    for key, value in found.items():
        place, _, name = KEYS[key][1].partition(" ")
        if place:
            places[place][name] = value
    return places["field"], places["option"]


def _paths(asked: Asked, found: dict[str, Any], file: Path) -> None:
    options = asked.options
    if "data" in options and options["data"] not in CORPORA and not is_made(options["data"]):
        here = _path(options["data"])
        options["data"] = here if here.exists() or not (file.parent / here).exists() else file.parent / here
    if "run" in options:
        options["run"] = _path(options["run"])
    if found.get("model_path"):
        asked.export = _path(found["model_path"]).with_suffix(".safetensors")
        options.setdefault("run", asked.export.with_suffix(""))
    if found.get("encoder_path"):
        encoder = _path(found["encoder_path"])
        try:
            options["tokenizer"] = Tokenizer.load(encoder.parent if encoder.name == "tokenizer.json" else encoder)
        except DataError:
            asked.notes.append(f"encoder_path {str(encoder)!r} is no tokenizer saved by a run; a new one is learned")


def _path(text: str) -> Path:
    return Path(text.replace("\\", "/"))


def _origin(asked: Asked, found: dict[str, Any]) -> None:
    origin = found.get("init_from", "scratch")
    if origin == "resume":
        asked.options["resume"] = True
    elif origin != "scratch":
        if not (_path(origin) / CONFIG).is_file():
            raise ConfigError(f'init_from must be "scratch", "resume" or the folder of a run; got {origin!r}')
        asked.options["init_from"] = _path(origin)


def _fitting(base: Config, fields: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """What the file cannot say, made to fit the sizes that it does say."""
    sizes = {**base.to_dict(), **fields}
    pattern, windows = base.mixer.split(","), base.windows
    fitted: dict[str, Any] = {"mixer": ",".join(pattern[-max(1, sizes["n_layers"]) :])}
    while sizes["n_heads"] % len(windows):
        windows = windows[1:]
    fitted |= {"windows": windows, "attention_top_k": min(base.attention_top_k, len(windows))}
    fitted |= {"chunk": max(1, min(base.chunk, sizes["seq_len"] // 4)), "top_k": min(base.top_k, sizes["n_experts"])}
    for name, value in fitted.items():
        if value != getattr(base, name) and name not in fields:
            notes.append(f"{name} is {value} to fit the file's sizes (the preset has {getattr(base, name)})")
    return fitted
