"""The same numbers, faster to train: some layers computed in another way while a step is taken.

Where SVD convolves over time it uses Conv3d kernels of (3, 1, 1). cuDNN is slow at these, and in
bfloat16 on the CPU torch 2.13 returns NaN for the gradient of their weights. Seen as a picture of
(time, height · width), they are plain Conv2d kernels of (3, 1). And on a CPU, torch's fused
attention takes so long on its way back that a step of `tiny` is 1.4 times faster without it.
"""

from __future__ import annotations

import contextlib
import ctypes
import types
from collections.abc import Iterator

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch.nn.functional import conv2d

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def keep_memory() -> bool:
    """Let this process keep, from now on, what a step of training frees, for the next step; returns
    whether it can.

    glibc gives large pieces back to the system at once, which clears each page anew when it is
    asked for the next.

    >>> keep_memory.__name__
    'keep_memory'
    """
    options = {M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**28, M_MMAP_MAX: 0}
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return False
    return all(mallopt(option, value) == 1 for option, value in options.items())


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


@contextlib.contextmanager
def attention_in_parts(model: torch.nn.Module) -> Iterator[None]:
    """Inside this context, every attention of the model multiplies, takes the softmax and
    multiplies again, one after the other; afterwards the model is as it was.

    >>> from .architectures import image_unet
    >>> unet = image_unet()
    >>> with attention_in_parts(unet):
    ...     sorted({type(processor).__name__ for processor in unet.attn_processors.values()})
    ['AttnProcessor']
    """
    usual = {m: m.processor for m in model.modules() if isinstance(m, Attention)}
    for attention in usual:
        attention.processor = AttnProcessor()
    try:
        yield
    finally:
        for attention, processor in usual.items():
            attention.processor = processor


@contextlib.contextmanager
def quick(model: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """Inside this context the model trains as fast as it can on this device.

    >>> with quick(torch.nn.Linear(1, 1), torch.device("cpu")):
    ...     pass
    """
    on_a_cpu = attention_in_parts(model) if device.type == "cpu" else contextlib.nullcontext()
    with temporal_convolutions_in_2d(model), on_a_cpu:
        yield
