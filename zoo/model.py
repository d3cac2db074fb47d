"""Models: what `zoo.load` returns. The verbs of every domain stand here, a domain's own on its subclass."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import torch

from zoo import checkpoint, manifest, reference, registry, typed
from zoo.domain import Domain, Recipe, Sampling
from zoo.engine.denoiser import Denoiser, NetworkDenoiser
from zoo.engine.noise import NoiseSource
from zoo.engine.sampler import SAMPLERS, Samples, sample
from zoo.errors import CheckpointError, OptionError
from zoo.manifest import SCHEMA, Manifest, Metric, Provenance

if TYPE_CHECKING:
    import pandas


class Model(ABC):
    """A denoiser with everything around it. Subclasses add the domain's verbs, not state.

    Attributes:
        domain: the domain it belongs to.
        recipe: what it was made by, sampling defaults included.
        adapter: between raw data and the network, with the statistics of the training data.
        denoiser: the network; in evaluation mode.
        name: ``<domain>-<method>[.<tag>]``.
        licence: of the weights.
        provenance: where the weights come from.
        metrics: figures for the card and the catalogue; the first is the headline.
    """

    def __init__(
        self,
        domain: Domain,
        recipe: Any,
        adapter: Any,
        denoiser: NetworkDenoiser,
        *,
        provenance: Provenance,
        name: str,
        licence: str,
        metrics: tuple[Metric, ...] = (),
    ) -> None:
        self.domain = domain
        self.recipe = recipe
        self.adapter = adapter
        self.denoiser = denoiser.eval()
        self.provenance = provenance
        self.name = name
        self.licence = licence
        self.metrics = metrics

    @abstractmethod
    def sample(
        self,
        n: int = 1,
        *,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> Any:
        """Draws n samples in the domain's own form; a subclass adds its conditions as keywords.

        Args:
            n: how many. The noise of member i depends on (seed, i) alone, whatever n.
            steps, sampler, guidance: None for the model's own (`recipe.sampling`).
            seed: of the noise.
            device: moves the model there first; None leaves it where it is.
        """

    def draw(
        self,
        members: NoiseSource,
        shape: tuple[int, ...],
        *,
        cond: dict[str, torch.Tensor] | None = None,
        mask: torch.Tensor | None = None,
        known: torch.Tensor | None = None,
        denoiser: Denoiser | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        device: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Samples:
        """Draws in the network's space with the model's sampling defaults; `sample` is made of it.

        Args:
            members: the noise, one stream a sample.
            shape: of one sample.
            cond, mask, known: as in `zoo.engine.sampler.sample`; moved to the model's device here.
            denoiser: a guided version of `self.denoiser`; None for itself.
            steps, sampler: None for the model's own.
            device: moves the model there first; None leaves it where it is.
            progress: called with (steps done, steps).

        Raises:
            OptionError: for an unknown sampler, or steps or a number of members below 1.
        """
        own: Sampling = self.recipe.sampling
        steps = own.steps if steps is None else steps
        sampler = own.sampler if sampler is None else sampler
        if sampler not in SAMPLERS:
            raise OptionError(f"unknown sampler {sampler!r}; there are: {', '.join(SAMPLERS)}")
        if steps < 1:
            raise OptionError(f"steps must be at least 1, not {steps}")
        if len(members) < 1:
            raise OptionError(f"n must be at least 1, not {len(members)}")
        if device is not None:
            self.to(device)
        return sample(
            self.denoiser if denoiser is None else denoiser,
            members,
            shape,
            cond={name: value.to(self.device) for name, value in (cond or {}).items()},
            mask=None if mask is None else mask.to(self.device),
            known=None if known is None else known.to(self.device),
            steps=steps,
            sampler=sampler,
            grid=own.grid,
            progress=progress,
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.denoiser.parameters()).device

    def to(self, device: str | torch.device) -> Self:
        """Moves the weights; "auto" is the fastest device there is. Returns the model itself."""
        self.denoiser.to(pick_device(device))
        return self

    def copy(self) -> Self:
        """A model with weights of its own; domain, recipe and adapter, which never change, are shared."""
        return type(self)(
            self.domain,
            self.recipe,
            self.adapter,
            deepcopy(self.denoiser),
            provenance=self.provenance,
            name=self.name,
            licence=self.licence,
            metrics=self.metrics,
        )

    def evaluate(self, data: str | PathLike[str] | None = None, *, seed: int = 0) -> "pandas.DataFrame":
        """Measures the model beside simple baselines.

        Args:
            data: a file; None for the domain's own evaluation.
            seed: of the samples.
        """
        request = self.domain.evaluate_request(data=None if data is None else Path(data), seed=seed)
        return self.domain.evaluate(self, request)

    def save(
        self,
        folder: str | PathLike[str],
        *,
        precision: Literal["float32", "float16"] = "float32",
        log: Path | None = None,
    ) -> Path:
        """Writes a checkpoint folder that `zoo.load` reads; an older checkpoint there is replaced.

        Args:
            folder: where to.
            precision: "float16" rounds the weights, in the file alone, and halves its size.
            log: a training log to keep beside the weights.

        Raises:
            OptionError: for an unknown precision.
            CheckpointError: if the folder holds files that are not ours, or a weight is not finite or
                beyond what the precision can hold.
        """
        if precision not in ("float32", "float16"):
            raise OptionError(f"precision must be 'float32' or 'float16', not {precision!r}")
        tensors = self.denoiser.state_dict()
        if precision == "float16":
            tensors = checkpoint.halved(tensors)
        draft = Manifest(
            schema_version=SCHEMA,
            name=self.name,
            domain=self.domain.name,
            licence=self.licence,
            recipe=typed.to_json(self.recipe),
            adapter=self.adapter.state(),
            tensors={},
            files={},
            provenance=self.provenance,
            metrics=self.metrics,
        )
        path = Path(folder).expanduser()
        checkpoint.write(path, draft, tensors, log=log)
        return path

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.denoiser.parameters())
        return f"<{type(self).__name__} {self.name}: {count:,} parameters on {self.device}>"


def load(ref: str | PathLike[str], *, device: str = "auto") -> Model:
    """Loads a model.

    Args:
        ref: a name (`zoo.list_models`), ``"./folder"``, ``"org/repo"`` or ``"org/repo@revision"``.
        device: "cpu", "cuda", "mps", or "auto" for the fastest there is.

    Raises:
        UnknownModelError: if there is no such model.
        CheckpointError: if the checkpoint is incomplete, altered or of a newer schema.
        PluginError or UnknownDomainError: if its domain is broken or not installed.
    """
    folder = reference.resolve(ref)
    described = manifest.read(folder)
    checkpoint.check_files(folder, described)
    where = str(folder / manifest.MANIFEST)
    domain = registry.domain(described.domain)
    recipe = read_recipe(domain, described.recipe, where)
    try:
        adapter = domain.adapter_from(described.adapter)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{where}: adapter: {error}") from None
    denoiser = build(domain, recipe, seed=0)
    own = denoiser.state_dict()
    checkpoint.check_tables(
        where,
        found=described.tensors,
        wanted=checkpoint.table(own),
        of="the recipe's network",
        half=True,
    )
    tensors = checkpoint.read_tensors(folder, described)
    # Weights stored in half precision compute in single precision.
    denoiser.load_state_dict({name: t.to(own[name].dtype) for name, t in tensors.items()})
    model = domain.model_class(
        domain,
        recipe,
        adapter,
        denoiser,
        provenance=described.provenance,
        name=described.name,
        licence=described.licence,
        metrics=described.metrics,
    )
    return model.to(device)


def read_recipe(domain: Domain, data: dict[str, Any], where: str) -> Recipe:
    """The domain's recipe that `data` describes.

    Raises:
        CheckpointError: naming `where` and the field.
    """
    try:
        recipe = typed.from_json(domain.recipe_class, data)
    except ValueError as error:
        raise CheckpointError(f"{where}: recipe: {error}") from None
    if recipe.domain != domain.name:
        raise CheckpointError(
            f"{where}: recipe: domain: {recipe.domain!r}, but the manifest says {domain.name!r}"
        )
    return recipe


def build(domain: Domain, recipe: Recipe, *, seed: int) -> NetworkDenoiser:
    """An untrained denoiser, initialised from the seed alone; the global generator stays as it was.

    Raises:
        OptionError: if the recipe describes no network that can be built.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            return domain.denoiser(recipe)
        except (ValueError, KeyError, RuntimeError, MemoryError) as error:
            raise OptionError(f"recipe {recipe.name!r}: the network cannot be built: {error}") from error


def pick_device(name: str | torch.device) -> torch.device:
    """The device of that name; "auto" is CUDA if there is one, else Apple's GPU, else the CPU.

    Raises:
        OptionError: if there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise OptionError(f"no device {str(name)!r} here; use 'auto', 'cpu', 'cuda' or 'mps'") from None
    return device
