"""Arrays and tensors of numbers → pictures."""

from typing import TYPE_CHECKING, Any

from .paths import shown

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


def is_array(source: Any) -> bool:
    """Tell whether this is an array or a tensor, of whichever library.

    >>> import numpy as np
    >>> is_array(np.zeros(3)), is_array([0, 0, 0])
    (True, False)
    """
    return hasattr(source, "__array__") or hasattr(source, "detach")


def picture_of(source: Any) -> "Image.Image":
    """Make a grey, RGB or RGBA picture of an array or a tensor.

    >>> import numpy as np
    >>> picture_of(np.zeros((3, 64, 112))).size
    (112, 64)
    """
    import numpy as np
    from PIL import Image

    values = _numbers(source)
    shape = values.shape
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    channels_first = values.ndim == 3 and values.shape[0] in (1, 3, 4)
    if channels_first and (hasattr(source, "detach") or values.shape[2] not in (1, 3, 4)):
        values = values.transpose(1, 2, 0)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    grey_or_colour = values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))
    if values.size == 0 or not grey_or_colour:
        raise ValueError(
            f"The array has shape {shape}; a picture is (height, width), or "
            "(height, width, 3 or 4), or for tensors (3 or 4, height, width)."
        )
    # the bound that Pillow sets to files: some arrays claim more than any memory holds
    if (most := Image.MAX_IMAGE_PIXELS) and values.shape[0] * values.shape[1] > 2 * most:
        raise ValueError(
            f"The array has shape {shape}, which is too large; {2 * most} pixels are the most."
        )
    return Image.fromarray(np.ascontiguousarray(as_bytes(values)))


def as_bytes(values: "np.ndarray") -> "np.ndarray":
    """Map 0–1 floats, 0–65535 uint16, booleans and 0–255 whole numbers to uint8.

    >>> import numpy as np
    >>> as_bytes(np.array([0, 0.5, 1])).tolist()
    [0, 128, 255]
    """
    import numpy as np

    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize  # in either order of bytes
    if (kind, bits) == ("u", 8):
        return values
    if kind == "b":
        return values.astype(np.uint8) * 255
    if (kind, bits) == ("u", 16):
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if kind not in "iuf":
        raise ValueError(f"The array holds {values.dtype}; numbers are needed.")
    if not np.isfinite(values).all():
        raise ValueError("The array holds NaN or infinite values; a picture is numbers 0–1.")
    low, high = float(values.min()), float(values.max())
    whole = kind in "iu"
    if whole and low >= 0 and high <= 255:
        return values.astype(np.uint8)
    if not whole and low >= -1e-3 and high <= 1 + 1e-3:
        return (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    cure = "divide by 255" if low >= 0 and high <= 255 else "use (x + 1) / 2" if low >= -1 else ""
    raise ValueError(
        f"The array's values run from {low:g} to {high:g}; a picture is uint8 0–255, uint16 "
        f"0–65535 or floats 0–1{'; ' + cure if cure else ''}."
    )


def _numbers(source: Any) -> "np.ndarray":
    import numpy as np

    try:
        if hasattr(source, "detach"):  # a torch tensor, perhaps on a GPU, perhaps in bfloat16
            source = source.detach().cpu()
            source = source.float() if source.is_floating_point() else source
        return np.asarray(source)
    except Exception as error:  # sparse, on no device, quantized: each library has its own
        raise ValueError(
            f"The {type(source).__name__} cannot be read as numbers: {shown(error)}. A plain, "
            "dense array is needed."
        ) from error
