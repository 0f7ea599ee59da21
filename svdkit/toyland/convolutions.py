"""Temporal convolutions computed as flat ones: the same numbers, several times faster to train.

Where SVD convolves over time it uses Conv3d kernels of (3, 1, 1). cuDNN is slow at these, and in
bfloat16 on the CPU torch 2.13 returns NaN for the gradient of their weights. Seen as a picture of
(time, height · width), they are plain Conv2d kernels of (3, 1).
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator

import torch
from torch.nn.functional import conv2d


def _forward_in_2d(convolution: torch.nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
    frames = x.flatten(3)  # (batch, channels, time, height · width)
    kernel, padding = convolution.weight.squeeze(-1), (convolution.padding[0], 0)
    return conv2d(frames, kernel, convolution.bias, padding=padding).unflatten(3, x.shape[3:])


@contextlib.contextmanager
def temporal_convolutions_in_2d(model: torch.nn.Module) -> Iterator[None]:
    """Inside this context, every (n, 1, 1) Conv3d of the model runs as a Conv2d; afterwards the
    model is as it was.

    >>> convolution = torch.nn.Conv3d(2, 2, (3, 1, 1), padding=(1, 0, 0))
    >>> x = torch.randn(1, 2, 5, 4, 4)
    >>> with temporal_convolutions_in_2d(convolution):
    ...     flat = convolution(x)
    >>> torch.allclose(flat, convolution(x), atol=1e-6)
    True
    """
    temporal = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.Conv3d)
        and module.kernel_size[1:] == (1, 1)
        and module.stride == (1, 1, 1)
    ]
    for module in temporal:
        module.forward = types.MethodType(_forward_in_2d, module)
    try:
        yield
    finally:
        for module in temporal:
            del module.forward
