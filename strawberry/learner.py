"""One optimiser step: micro-batches, mixed precision, clipping, and a stop before anything that is not finite."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from strawberry.config import Config
from strawberry.errors import StrawberryError
from strawberry.model import Strawberry
from strawberry.optim import Optimizers
from strawberry.precision import autocast, resolve_precision
from strawberry.recursion.depth import drawn_loops


class DivergedError(StrawberryError):
    """The loss or the gradient is not finite; the weights are those before the step."""


@dataclass(frozen=True)
class Learned:
    """One step's numbers: losses in nats per token before the step, the learning rate, the gradient's norm before
    clipping, the tokens read, each router's share of assignments per expert, and the mean number of passes."""

    loss: float
    total_loss: float
    lr: float
    grad_norm: float
    tokens: int
    loads: dict[str, list[float]]
    passes: float


class Learner:
    """A model with its optimisers. Draws no random numbers, so that equal batches give equal weights.

    ``whole`` is False from the moment the weights begin to move until the caller, who counts the steps, sets it
    again: cut in between by an interrupt, the weights are of no step at all.
    """

    def __init__(self, model: Strawberry, config: Config) -> None:
        self.model = model
        self.config = config
        self.device = next(model.parameters()).device
        self.precision = resolve_precision(config, self.device)
        self.optimizers = Optimizers(model, config)
        self.whole = True
        self._parameters = [param for param in model.parameters() if param.requires_grad]
        # The eager model stays in reach: taps in a compiled one hear nothing.
        self._loss = torch.compile(model.loss) if config.compile else model.loss

    def learn(self, batches: Iterable[tuple[Tensor, Tensor]], step: int, steps: int) -> Learned:
        """Take step ``step`` (from 0) of ``steps`` on micro-batches of tokens and targets, each (batch, seq) int64.

        Raises :class:`DivergedError`, leaving the weights as they were, when the loss or the gradient is not finite.
        """
        tokens, loss, total, loads, passes = self._accumulate(list(batches), step)
        norm = self._clipped()
        loss, total, size = torch.stack([loss, total, norm]).tolist()
        if not all(value - value == 0 for value in (loss, total, size)):
            self.optimizers.zero_grad()
            what = "gradient" if loss - loss == 0 and total - total == 0 else "loss"
            raise DivergedError(
                f"the {what} of step {step + 1} is not finite; the weights of step {step} are kept: lower "
                "learning_rate, or set precision to fp32"
            )
        self.whole = False
        lr = self.optimizers.step(step, steps)
        self.model.after_step(loads)
        self.optimizers.zero_grad()
        shares = {path: share.tolist() for path, share in loads.items()}
        return Learned(loss, total, lr, size, tokens, shares, passes)

    def _accumulate(
        self, batches: list[tuple[Tensor, Tensor]], step: int
    ) -> tuple[int, Tensor, Tensor, dict[str, Tensor], float]:
        part = 1.0 / len(batches)
        tokens, passes, sums, loads = 0, 0.0, torch.zeros(2, device=self.device), {}
        for micro, (inputs, targets) in enumerate(batches):
            inputs, targets = inputs.to(self.device), targets.to(self.device)
            with autocast(self.device, self.precision):
                losses = self._loss(inputs, targets, drawn_loops(self.config, step, micro))
            (losses.total * part).backward()
            sums += torch.stack([losses.cross_entropy, losses.total]).detach().float() * part
            for path, share in losses.loads.items():
                loads[path] = loads.get(path, 0) + share.detach().float() * part
            tokens += targets.numel()
            passes += losses.passes * part
        return tokens, sums[0], sums[1], loads, passes

    def _clipped(self) -> Tensor:
        gradients = [param.grad for param in self._parameters if param.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.config.grad_clip > 0:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self.config.grad_clip, norm)
        return norm
