"""Numbers about made weights: size, direction, spectrum, and how much of them the input decided.

Every function takes matrices in the last two axes, any axes before, as tensors, and returns one number per matrix.
Sums run in the input's own precision, spectra in double.
"""

import torch
from torch import Tensor


def rms(weights: Tensor) -> Tensor:
    """(..., rows, cols) -> (...): root mean square of the entries."""
    return weights.square().mean((-2, -1)).sqrt()


def change(weights: Tensor, base: Tensor) -> Tensor:
    """(..., rows, cols) -> (...): RMS(weights - base) / RMS(base), NaN for a base of zeros that nothing left."""
    return rms(weights - base) / rms(base)


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """(..., rows, cols) twice -> (...): cosine of the angle between the flattened matrices, in [-1, 1]; NaN if zero."""
    dot = (first * second).mean((-2, -1))
    return (dot / (rms(first) * rms(second))).clamp(-1, 1)


def spectrum(weights: Tensor) -> Tensor:
    """(..., rows, cols) -> (..., min(rows, cols)) double: singular values, largest first.

    Taken as roots of the eigenvalues of the smaller Gram matrix in double precision: several times faster than an
    SVD, and exact to about 1e-8 of the largest value, which a logarithmic axis does not show.
    """
    wide = weights.double()
    if wide.shape[-2] < wide.shape[-1]:
        wide = wide.mT
    return torch.linalg.eigvalsh(wide.mT @ wide).clamp(min=0).sqrt().flip(-1)


def effective_rank(singular_values: Tensor) -> Tensor:
    """(..., n) -> (...): exp of the entropy of the singular values normalised to sum 1 (Roy & Vetterli, 2007).

    1 for a rank-one matrix, n for an orthogonal one; NaN for zeros.
    """
    shares = singular_values / singular_values.sum(-1, keepdim=True)
    return torch.special.entr(shares).sum(-1).exp()


def input_share(sets: Tensor) -> Tensor:
    """(J, ..., rows, cols) -> (J, ...): RMS(w_j - w_0) / RMS(w_j), the share of set j that the input decided.

    Set 0 must be the one made without any input (the learned prior alone), so its own share is 0. The share is a
    ratio of sizes, not a fraction of a sum: it is sqrt(2) for two unrelated matrices of equal size.
    """
    return rms(sets - sets[:1]) / rms(sets)


def spread(sets: Tensor) -> Tensor:
    """(J, ..., rows, cols) -> (J, ...): RMS(w_j - mean of the sets after set 0) / RMS(w_j), NaN for set 0.

    How much the text's parts disagree about the weights. Where this is small and the input share is large, the text
    moved the weights away from the prior, but every part of it in the same direction.
    """
    apart = rms(sets - sets[1:].mean(0, keepdim=True)) / rms(sets)
    apart[0] = torch.nan
    return apart
