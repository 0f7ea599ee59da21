"""How much memory there is, how much is needed, and that it ran out."""

OVERHEAD_GIB = 0.5  # the CUDA context
HEADROOM = 1.1  # the allocator's fragmentation

OUT_OF_MEMORY = (  # how torch, safetensors, the system and Python's threads say it
    "out of memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "not enough memory",
    "can't start new thread",
)


class NotEnoughMemory(RuntimeError):  # noqa: N818 - the public name says it without Error
    """The animation did not fit; the message names what to try.

    >>> raise NotEnoughMemory("try memory='offload_layers'")
    Traceback (most recent call last):
    svdkit.room.NotEnoughMemory: try memory='offload_layers'
    """


def needed_gib(peak_gib: float) -> float:
    """Give the free GPU memory that tensors of so much memory need, in GiB.

    >>> needed_gib(10.0)
    11.5
    """
    return peak_gib and peak_gib * HEADROOM + OVERHEAD_GIB


def free_gpu_gib(device: str = "cuda") -> float:
    """Give the GPU memory that is free now, in GiB; 0 where there is no CUDA GPU.

    >>> free_gpu_gib() >= 0
    True
    """
    import torch

    if not torch.cuda.is_available():
        return 0.0
    # what torch keeps for later is as good as free
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (torch.cuda.mem_get_info(device)[0] + idle) / 2**30


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that GPU memory or RAM ran out.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    """
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, (RuntimeError, OSError))
        and any(words in str(error) for words in OUT_OF_MEMORY)
    ):
        return True
    # the libraries wrap it in errors of their own; one that was told already is another matter
    earlier = error.__cause__ or error.__context__
    if earlier is None or isinstance(earlier, NotEnoughMemory):
        return False
    return is_out_of_memory(earlier)
