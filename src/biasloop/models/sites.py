"""Where a model's neurons are, found by tracing its own modules.

A block's feed-forward part is told from its attention by what it does: with every other projection
held fixed, a change of its first projection at one position reaches the input of its last at that
position alone, while attention carries a change on to later positions. No module name is used, so
GPT-2, Llama, GPT-NeoX or OPT are found alike.

Sites, with TransformerLens's names beside ours: ``mlp_out`` (``blocks.L.hook_mlp_out``) is what the
feed-forward's last projection adds to the residual stream, d_model units; ``mlp_hidden``
(``blocks.L.mlp.hook_post``) is what that projection reads, d_ff units, after the activation
function and, in a gated model, the gate. ``resid_post`` (``blocks.L.hook_resid_post``) is what the
whole block puts out, the residual stream, d_model units; it has no weights of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from biasloop.errors import InputError, nearest

if TYPE_CHECKING:
    import torch
    from torch import nn

#: Every site that a neuron can be read at.
SITES = ("mlp_out", "mlp_hidden", "resid_post")

#: Tokens in the probe: a position to change, and two later ones that must not notice.
_PROBE = (1, 2, 3)
#: Large enough to get past a unit that a rectifier has shut.
_PUSH = 100.0


@dataclass(frozen=True)
class Rows:
    """One parameter's share in feeding the units of a site.

    Attributes
    ----------
    parameter
        A weight matrix, or a bias vector.
    axis
        The axis along which the units lie.
    offset
        Unit 0's place on that axis; a fused gate-and-up projection has two blocks of units.
    """

    parameter: torch.Tensor
    axis: int
    offset: int

    def units(self, units: int) -> torch.Tensor:
        """View the parameter's part as (units, inputs), or (units,) for a bias; shares memory."""
        part = self.parameter.data.narrow(self.axis, self.offset, units)
        return part.T if part.ndim == 2 and self.axis == 1 else part


@dataclass(frozen=True)
class FeedForward:
    """The feed-forward part of one decoder block.

    Attributes
    ----------
    layer
        The block's place, from 0.
    output
        The last projection, d_ff -> d_model.
    inputs
        The projections that feed it: one, or gate and up.
    whole
        The decoder block that it is part of.
    """

    layer: int
    output: nn.Module
    inputs: tuple[nn.Module, ...]
    whole: nn.Module

    def units(self, site: str) -> int:
        """Count a site's units."""
        _check(site)
        wide, narrow = shape(self.output)
        return wide if site == "mlp_hidden" else narrow

    def weights(self, site: str) -> list[Rows]:
        """List the weight matrices that feed a site's units, biases left out.

        For ``mlp_out`` that is the last projection. For ``mlp_hidden`` it is the projection before
        it; in a gated model both gate and up, whose weights count alike. ``resid_post``, a sum of
        what many modules put out, has none.
        """
        return self._rows(site, "weight")

    def biases(self, site: str) -> list[Rows]:
        """List the biases that feed a site's units; empty where the model has none."""
        return self._rows(site, "bias")

    def _rows(self, site: str, name: str) -> list[Rows]:
        units = self.units(site)
        found = []
        feeding = {"mlp_out": (self.output,), "mlp_hidden": self.inputs, "resid_post": ()}
        for module in feeding[site]:
            parameter: Any = getattr(module, name, None)
            if parameter is None:
                continue
            axis = 1 if name == "weight" and not _is_linear(module) else 0
            found.extend(Rows(parameter, axis, at) for at in range(0, parameter.shape[axis], units))
        return found


def feed_forwards(model: nn.Module) -> tuple[FeedForward, ...]:
    """Find the feed-forward part of every decoder block of a causal model in evaluation mode.

    Raises
    ------
    InputError
        If a block has none that can be told by its structure, as in a mixture of experts.
    """
    found: list[FeedForward] = []
    traced: dict[object, tuple[str, tuple[str, ...]]] = {}
    for layer, block in enumerate(_blocks(model)):
        projections = _projections(block)
        structure = (type(block), tuple((n, shape(p)) for n, p in projections.items()))
        if structure not in traced:
            traced[structure] = _trace(model, layer, projections)
        last, first = traced[structure]
        found.append(
            FeedForward(layer, projections[last], tuple(projections[name] for name in first), block)
        )
    return tuple(found)


def shape(projection: nn.Module) -> tuple[int, int]:
    """Return a projection's inputs and outputs."""
    weight: Any = projection.weight
    rows, columns = weight.shape
    return (columns, rows) if _is_linear(projection) else (rows, columns)


@contextmanager
def reading(
    blocks: Iterable[FeedForward],
    site: str,
    see: Callable[[int, torch.Tensor], torch.Tensor | None],
) -> Generator[None]:
    """Call ``see(layer, activations)`` at every forward pass; what it returns takes their place.

    Activations of the ``site`` are as the model has them, of shape (..., units); ``see`` returns
    None to leave them as they are, or a tensor of the same shape.
    """
    _check(site)

    def show(layer: int, values: Any) -> Any:  # noqa: ANN401 - what a module takes or puts out
        """Show the first of several values, or the only one; None where it stays."""
        if not isinstance(values, tuple):
            return see(layer, values)
        seen = see(layer, values[0])
        return None if seen is None else (seen, *values[1:])

    with ExitStack() as stack:
        for block in blocks:
            own = partial(show, block.layer)
            if site == "mlp_hidden":
                handle = block.output.register_forward_pre_hook(lambda _, args, own=own: own(args))
            else:
                module = block.output if site == "mlp_out" else block.whole
                handle = module.register_forward_hook(lambda _, args, output, own=own: own(output))
            stack.callback(handle.remove)
        yield


def _check(site: str) -> None:
    if site not in SITES:
        raise InputError(f"unknown site '{site}'; {nearest(site, SITES)}")


def _is_linear(module: nn.Module) -> bool:
    from torch import nn

    return isinstance(module, nn.Linear)


def _blocks(model: nn.Module) -> list[nn.Module]:
    """Take the heaviest list of alike modules: the decoder's blocks."""
    from torch import nn

    lists = [
        module
        for module in model.modules()
        if isinstance(module, nn.ModuleList) and len(module) and len(set(map(type, module))) == 1
    ]
    if not lists:
        raise InputError(
            f"{type(model).__name__}: it has no list of decoder blocks, so its neurons cannot be "
            "found"
        )
    return list(max(lists, key=lambda blocks: sum(p.numel() for p in blocks.parameters())))


def _projections(block: nn.Module) -> dict[str, nn.Module]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return {
        name: module
        for name, module in block.named_modules()
        if isinstance(module, (nn.Linear, Conv1D))
    }


class _Probe:
    """Runs the model on a few tokens with one block's projections recorded, held or pushed."""

    def __init__(self, model: nn.Module, projections: Mapping[str, nn.Module]) -> None:
        import torch

        self.model, self.projections = model, projections
        device = next(model.parameters()).device
        self.tokens = torch.tensor([_PROBE], device=device)
        self.inputs, self.outputs = self._run({})

    def feeds(self, name: str, push: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401 - an index
        """Push some of a projection's outputs; return how the others' inputs change, by name.

        The change has shape (positions, inputs).
        """
        pushed = self.outputs[name].clone()
        pushed.view(len(_PROBE), -1)[push] += _PUSH
        inputs, _ = self._run(self.outputs | {name: pushed})
        return {
            other: (inputs[other] != self.inputs[other]).view(len(_PROBE), -1)
            for other in self.inputs
        }

    def _run(
        self, replies: Mapping[str, torch.Tensor]
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        import torch

        inputs: dict[str, torch.Tensor] = {}
        outputs: dict[str, torch.Tensor] = {}
        with ExitStack() as stack:
            for name, module in self.projections.items():

                def hook(module: Any, args: Any, output: Any, name: str = name) -> Any:  # noqa: ANN401
                    inputs[name], outputs[name] = args[0].detach().clone(), output.detach().clone()
                    return replies.get(name)

                stack.callback(module.register_forward_hook(hook).remove)
            with torch.inference_mode():
                self.model(input_ids=self.tokens, use_cache=False)
        return inputs, outputs


def _trace(
    model: nn.Module, layer: int, projections: Mapping[str, nn.Module]
) -> tuple[str, tuple[str, ...]]:
    """Name the last projection of the feed-forward part, and those that feed it."""
    probe = _Probe(model, projections)
    feeders: dict[str, list[str]] = {}
    carries: Counter[str] = Counter()
    for name in probe.outputs:
        for other, change in probe.feeds(name, (0, slice(None))).items():
            if other != name and change.any():
                feeders.setdefault(other, []).append(name)
                carries[other] += int(change[1:].any())
    # What feeds another projection inside the block is not its end: attention's last projection
    # reaches the feed-forward's first one through the residual stream.
    inner = {name for first in feeders.values() for name in first}
    found = [
        last
        for last, first in feeders.items()
        if last not in inner
        and not carries[last]
        and {shape(projections[name])[0] for name in first} == {shape(projections[last])[1]}
    ]
    if len(found) != 1:
        have = "no feed-forward part" if not found else f"{len(found)} feed-forward parts"
        raise InputError(
            f"{type(model).__name__}: block {layer} has {have} that can be told by its structure "
            "(one projection out of d_ff units, fed position by position), so its neurons cannot "
            "be read; mixtures of experts are not supported"
        )
    last, first = found[0], tuple(feeders[found[0]])
    _check_units(model, probe, last, first)
    return last, first


def _check_units(model: nn.Module, probe: _Probe, last: str, first: tuple[str, ...]) -> None:
    """Make sure that output i of a projection feeds unit i modulo d_ff, fused ones included."""
    units = shape(probe.projections[last])[0]
    for name in first:
        outputs = shape(probe.projections[name])[1]
        for output in {1 % outputs, outputs - 1, units % outputs}:
            change = probe.feeds(name, (0, output))[last][0]
            if outputs % units or change.nonzero().flatten().tolist() != [output % units]:
                raise InputError(
                    f"{type(model).__name__}: output {output} of '{name}' does not feed the one "
                    "unit that it should, so which parameters feed which unit is not known"
                )
