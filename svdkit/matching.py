"""Matching frames to others, in colour, contrast and sharpness, and fading between them.

Frames are arrays of float32 here, 0–255, as they are still to be calculated with.
"""

import numpy as np

MOST_GAIN = 1.5  # of contrast, either way; what asks for more shows another thing, not a drift
LEAST_SPREAD = 1.0  # of 255: what is plainer has no contrast to be matched
MOST_PIXELS = 20_000  # that are looked at; more tell nothing new of a level or a spread
MOST_CRISPNESS = 1.0  # times the finest detail that is added: more would show noise
ROUNDS = 4  # after which the half that is alike, or the pace of a fade, has settled
LEAST_STEP = 1e-3  # of 255: what changes less does not show, and is no divisor


def toned(frame: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Give a frame the colour and contrast of another, judged by what both of them show.

    Level and spread of each channel are matched (as in "Color Transfer between Images", Reinhard et
    al., 2001), yet only of the half of the pixels that are most alike: the sky keeps its colour
    when the moon before it has gone.

    >>> grey = np.linspace(90, 110, 48).reshape(4, 4, 3)
    >>> round(float(toned(grey + 20, like=grey).mean()))
    100
    """
    apart = max(1, int((frame.size / 3 / MOST_PIXELS) ** 0.5))
    old, new = (
        np.asarray(part[::apart, ::apart], np.float32).reshape(-1, 3) for part in (frame, like)
    )
    alike = np.ones(len(old), bool)
    for _ in range(ROUNDS):
        level, wanted = old[alike].mean(0), new[alike].mean(0)
        spread, wanted_spread = old[alike].std(0), new[alike].std(0)
        gain = np.maximum(wanted_spread, LEAST_SPREAD) / np.maximum(spread, LEAST_SPREAD)
        gain = gain.clip(1 / MOST_GAIN, MOST_GAIN)
        distance = np.abs((old - level) * gain + wanted - new).max(1)
        alike = distance <= np.median(distance)
    return ((frame - level) * gain + wanted).clip(0, 255)


def sharpness(frame: np.ndarray) -> float:
    """Measure the fine detail of a frame: the variance of its Laplacian, in levels of 255 squared.

    >>> sharpness(np.zeros((8, 8, 3)))
    0.0
    """
    return float(_edges(frame).var())


def crisp(frame: np.ndarray, wanted: float) -> np.ndarray:
    """Give a blurred frame the sharpness that is wanted, as far as what it shows allows.

    What a blur takes away is added again ("unsharp masking"), as much of it as is needed: the
    variance of the Laplacian is quadratic in that. What is sharp enough stays.

    >>> blurred = np.tile(np.array([0, 0, 40, 80, 80])[:, None], (5, 1, 3)).reshape(5, 5, 3)
    >>> sharpness(crisp(blurred, 2 * sharpness(blurred))) > sharpness(blurred)
    True
    """
    detail = frame - _blurred(frame)
    own, more = (edges - edges.mean() for edges in (_edges(frame), _edges(detail)))
    missing = wanted - float((own**2).mean())
    gain, turn = float((more**2).mean()), float((own * more).mean())
    if missing <= 0 or not gain:
        return frame
    amount = (np.sqrt(turn**2 + gain * missing) - turn) / gain
    return (frame + min(amount, MOST_CRISPNESS) * detail).clip(0, 255)


def faded(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Fade from some frames to others, one more of them: the first is the old one, the last new.

    It fades in steps as even as can be: fast while both show the same, slowly once they part. Where
    the old ones and the new ones are equally far apart all along, that is a steady fade.

    >>> faded(np.zeros((4, 1, 1, 3)), np.ones((5, 1, 1, 3)))[:, 0, 0, 0].tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    shares = np.full(len(before), 1 / len(before))
    for _ in range(ROUNDS):
        steps = np.abs(np.diff(_mixed(before, after, shares), axis=0)).mean((1, 2, 3))
        shares /= np.maximum(steps, LEAST_STEP)
        shares /= shares.sum()
    return _mixed(before, after, shares)


def restored(frame: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Give a frame the colour, the contrast and the sharpness of another.

    >>> grey = np.linspace(90, 110, 48).reshape(4, 4, 3)
    >>> round(float(restored(grey + 20, like=grey).mean()))
    100
    """
    return crisp(toned(frame, like), sharpness(like))


def joined(old: np.ndarray, start: int, new: np.ndarray) -> np.ndarray:
    """Join new frames to old ones, uint8: the first of them stands for the old one at `start`.

    The new ones begin in the tone of the old one that they go on from, so that no jump shows, and
    end in that of the very first one, so that nothing drifts away; so does their sharpness.

    >>> joined(np.zeros((6, 8, 8, 3), np.uint8), 4, np.zeros((6, 8, 8, 3), np.uint8)).shape
    (10, 8, 8, 3)
    """
    first, own = old[0], old[start]
    sharp, own_sharp = sharpness(first), sharpness(own)
    after = np.empty(new.shape, np.float32)
    for number, frame in enumerate(new):
        weight = number / (len(new) - 1)
        mixed = toned(frame, own) * (1 - weight) + toned(frame, first) * weight
        after[number] = crisp(mixed, own_sharp * (1 - weight) + sharp * weight)
    # the last frames that a model makes often have a cast of their own
    before = np.stack([own.astype(np.float32), *(toned(frame, own) for frame in old[start + 1 :])])
    after[: len(before) + 1] = faded(before, after[: len(before) + 1])
    return np.concatenate([old[:start], after.round().astype(np.uint8)])


def _mixed(before: np.ndarray, after: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Go from old frames to new ones, by such shares of the way from each frame to the next."""
    weight = np.concatenate([[0], shares.cumsum()[:-1]]).astype(np.float32).reshape(-1, 1, 1, 1)
    return np.concatenate([before * (1 - weight) + after[:-1] * weight, after[-1:]])


def _edges(frame: np.ndarray) -> np.ndarray:
    """Give the Laplacian of a frame's brightness."""
    grey = frame.astype(np.float32).mean(-1)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return 4 * grey[1:-1, 1:-1] - around


def _blurred(frame: np.ndarray) -> np.ndarray:
    padded = np.pad(frame, ((1, 1), (1, 1), (0, 0)), mode="edge").astype(np.float32)
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
