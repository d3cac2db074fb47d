"""Export of a model's network as programs of `torch.export`, which run without this project."""

import tempfile
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.engine.denoiser import Batch, Encoder, NetworkDenoiser
from zoo.errors import OptionError, ZooError
from zoo.loading import load
from zoo.model import Model
from zoo.seeds import generator

TOLERANCE = 1e-4  # of the program's output, relative to the largest value of the model's own


class _Encode(nn.Module):
    """(conditions, mask) to (encoded conditions, loc, scale)."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self, cond: dict[str, Tensor], mask: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        encoded = self.encoder(cond, mask)
        return encoded.cond, torch.as_tensor(encoded.loc), torch.as_tensor(encoded.scale)


def export(model: str | PathLike[str] | Model, folder: str | PathLike[str]) -> list[Path]:
    """Writes ``denoise.pt2`` and, where the model has an encoder, ``encode.pt2``; any batch size will do.

    A sampler in any language makes samples of them: z = (coloured) noise at t = 1; for t along a grid
    ẑ = denoise(z, t, encoded conditions, mask) and a step of the path; in the end x = loc + scale z.
    Each program is read back and compared with the model on other data before it is put in its place.

    Args:
        model: a model on the CPU, or a reference to one; an adapter is merged first.
        folder: made if it does not exist.

    Raises:
        OptionError: if the model is not on the CPU.
        ZooError: if a network cannot be exported, or the program's answers differ.
    """
    model = model if isinstance(model, Model) else load(model, device="cpu")
    if model.device.type != "cpu":
        raise OptionError("export works on the CPU: model.to('cpu') first")
    whole = model.merge()
    denoiser, domain = whole.denoiser, whole.domain
    data = domain.dataset(domain.example(), "validation", whole.recipe, whole.adapter)
    first, other = (data.batch(size, generator("cpu", 0, "export", size)) for size in (4, 7))
    out = Path(folder).expanduser()
    out.mkdir(parents=True, exist_ok=True)
    written = []
    if denoiser.encoder is not None:
        conditions = (first.cond, first.mask), (other.cond, other.mask)
        written.append(_write(_Encode(denoiser.encoder), *conditions, out / "encode.pt2"))
    noisy = _to_denoise(denoiser, first), _to_denoise(denoiser, other)
    alone = NetworkDenoiser(denoiser.network, denoiser.path, denoiser.scaling, denoiser.objective)
    written.append(_write(alone, *noisy, out / "denoise.pt2"))
    return written


@torch.no_grad()
def _to_denoise(denoiser: NetworkDenoiser, batch: Batch) -> tuple[Any, ...]:
    encoded = denoiser.encode(batch.cond, batch.mask)
    t = torch.linspace(0.2, 0.9, len(batch.x))
    return encoded.standardise(batch.x), t, encoded.cond, batch.mask


def _write(module: nn.Module, example: tuple[Any, ...], other: tuple[Any, ...], path: Path) -> Path:
    batch = torch.export.Dim.DYNAMIC

    def shapes(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shapes(one) for name, one in value.items()}
        return None if value is None or len(value) == 1 else {0: batch}

    try:
        program = torch.export.export(
            module.eval(), example, dynamic_shapes=tuple(shapes(value) for value in example)
        )
    except Exception as error:  # whatever a network does that cannot be traced
        told = next(iter(str(error).splitlines()), type(error).__name__)
        raise ZooError(f"{path.stem}: this network cannot be exported: {told}") from error
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        new = Path(folder, path.name)
        torch.export.save(program, new)
        found, wanted = torch.export.load(new).module()(*other), module(*other)
        for a, b in zip(_leaves(found), _leaves(wanted), strict=True):
            if not (a.float() - b.float()).abs().max() <= TOLERANCE * b.float().abs().max().clamp(min=1):
                raise ZooError(f"{path.stem}: the exported program gives other answers than the model")
        new.replace(path)
    return path


def _leaves(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [leaf for one in (value.values() if isinstance(value, dict) else value) for leaf in _leaves(one)]
