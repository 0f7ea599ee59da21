"""Using a caller's pipeline in our way, and giving it back as it was."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from .progress import Bar

_animating: dict[int, object] = {}  # by the ids of the pipelines that are at work: whose work


def at_work(pipeline: Any) -> bool:
    """Whether a pipeline is lent at this moment.

    >>> at_work(object())
    False
    """
    return id(pipeline) in _animating


@contextmanager
def borrowed(
    pipeline: Any,
    curve: list[float] | None,
    progress: bool,
    around: Mapping[str, Callable[..., Any]] | None = None,
    *,
    what: str = "animating",
    steps: int | None = None,
) -> Iterator[Any]:
    """Lend a pipeline with a guidance curve and our bar, and take it back as it was.

    The bar says `what` is done, in so many `steps`; what the pipeline's owner has configured of
    bars goes for this one too, and with `progress` false there is none.

    Meanwhile `around` has, for names of its methods, what is called in their place: a function that
    is given the method first.

    An interrupt may strike at any moment: also while diffusers holds a half-precision VAE in
    fp32 to encode, or a model of several on the GPU.

    >>> from svdkit.pipelines import load
    >>> with borrowed(load("tiny", device="cpu"), [1.0, 2.0], progress=False) as pipeline:
    ...     type(pipeline).__name__
    'StableVideoDiffusionPipeline'
    """
    kind = type(pipeline)
    shown = {"desc": what, "total": steps, "unit": "step", "postfix": "encoding"}
    shown |= getattr(pipeline, "_progress_bar_config", {})
    vae_dtype = pipeline.vae.dtype
    work = object()
    try:
        if _animating.setdefault(id(pipeline), work) is not work:
            raise RuntimeError(
                "This pipeline is animating already, in another thread or around this on_step, and "
                "makes one clip at a time. Use a pipeline of its own for each."
            )
        with Bar(**shown if progress else {"disable": True}) as bar:
            pipeline.__class__ = _changed(
                kind, curve, {"progress_bar": bar.steps, **(around or {})}
            )
            yield pipeline
    except BaseException:
        if _animating.get(id(pipeline)) is work:
            if pipeline.vae.dtype != vae_dtype:
                pipeline.vae.to(vae_dtype)
            pipeline.maybe_free_model_hooks()
        raise
    finally:
        try:
            _give_back(pipeline, kind, work)
        finally:  # an interrupt may have struck in there
            _give_back(pipeline, kind, work)


def _give_back(pipeline: Any, kind: type, work: object) -> None:
    if _animating.get(id(pipeline)) is work:
        pipeline.__class__ = kind
        del _animating[id(pipeline)]


def _changed(kind: type, curve: list[float] | None, around: Mapping[str, Callable]) -> type:
    """Make a kind of pipeline that does some things otherwise."""
    members: dict[str, Any] = {name: _wrapped(getattr(kind, name), around[name]) for name in around}
    if curve is not None:
        members["guidance_scale"] = property(partial(_guidance_along, curve))
    return type(kind.__name__, (kind,), members)


def _wrapped(method: Callable[..., Any], wrapper: Callable[..., Any]) -> Callable[..., Any]:
    def method_in_its_place(self, *args, **kwargs):
        return wrapper(partial(method, self), *args, **kwargs)

    return method_in_its_place


def _guidance_along(curve: list[float], pipeline: Any) -> Any:
    """Follow the curve, once diffusers has set its own guidance."""
    scale = pipeline._guidance_scale  # a number at first, then a tensor (1, frames, 1, 1, 1)
    if isinstance(scale, (int, float)):
        return scale
    return scale.new_tensor(curve).reshape(scale.shape)
