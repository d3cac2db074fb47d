"""The contract between the zoo and a domain.

A domain (time series, images, ...) brings its data, its network and its own verbs; the zoo brings
training, checkpoints, the catalogue and the command line. A domain is one object of a subclass of
`Domain`, registered under the entry-point group ``zoo.domains``:

    [project.entry-points."zoo.domains"]
    rings = "my_package.rings:domain"

`docs/add-a-domain.md` is a complete one. What a training run needs passes through five nouns:

    raw data --Domain.dataset--> Dataset --batch--> Batch --NetworkDenoiser.loss--> (B,)
    raw data <--Adapter.decode-- samples <--Model.sample-- NetworkDenoiser

Parameters that a domain narrows to classes of its own (its recipe, adapter, model, request) are `Any` here.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le

from zoo.engine.denoiser import Batch, NetworkDenoiser
from zoo.engine.objective import Objective
from zoo.manifest import Source
from zoo.requests import DataRequest, EvaluateRequest, SampleRequest, option

if TYPE_CHECKING:
    import pandas

    from zoo.model import Model

__all__ = [
    "Adapter",
    "DataRequest",
    "Dataset",
    "Domain",
    "EvaluateRequest",
    "Items",
    "Recipe",
    "SampleRequest",
    "Sampling",
    "Source",
    "Split",
    "Training",
    "option",
]

Split = Literal["train", "validation"]


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained: AdamW or Muon, warm-up, cosine decay, gradient clipping, EMA, early best.

    Attributes:
        steps: optimiser steps.
        batch_size: items a step.
        parts: equal parts that they are drawn and worked through in: one after the other, or shared evenly by
            several processes, with the same result to rounding. A part at a time must fit the memory.
        lr: the highest learning rate.
        weight_decay: decoupled weight decay, on matrices only.
        betas: AdamW's moment decays.
        muon: parts of the names of those matrices that Muon trains instead: see `zoo.optimizer`.
        warmup: the fraction of the steps over which the learning rate rises to `lr`.
        clip: the largest allowed norm of the gradient of all parameters together.
        ema_widths: relative widths of the power EMA (Karras et al. 2024, section 3.1), each validated.
        validate_every: steps between validations; the start and the end are always validated.
        validation_batches: batches a validation; always the same items and the same noise.
        keep: which averages come back: "best", those of the lowest loss on held-out data (the weights at the
            start count too), or "last", where that loss does not tell what counts.
        seed: the start of everything random: initial weights, order of the data, noise.
    """

    steps: Annotated[int, Ge(1)] = 2000
    batch_size: Annotated[int, Ge(1)] = 64
    parts: Annotated[int, Ge(1)] = 1
    lr: Annotated[float, Gt(0)] = 1e-3
    weight_decay: Annotated[float, Ge(0)] = 0.01
    betas: tuple[Annotated[float, Ge(0), Le(1)], Annotated[float, Ge(0), Le(1)]] = (0.9, 0.99)
    muon: tuple[str, ...] = ()
    warmup: Annotated[float, Ge(0), Le(1)] = 0.05
    clip: Annotated[float, Gt(0)] = 1.0
    ema_widths: tuple[Annotated[float, Gt(0), Le(0.25)], ...] = (0.05, 0.10)
    validate_every: Annotated[int, Ge(1)] = 200
    validation_batches: Annotated[int, Ge(1)] = 8
    keep: Literal["best", "last"] = "best"
    seed: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How samples are drawn unless the caller says otherwise.

    Attributes:
        sampler: a name in `zoo.engine.sampler.SAMPLERS`.
        steps: steps of the sampler.
        grid: a name in `zoo.engine.schedule.GRIDS`.
        guidance: weight of classifier-free guidance; None draws without.
    """

    sampler: str = "heun"
    steps: Annotated[int, Ge(1), Le(10_000)] = 8
    grid: str = "uniform"
    guidance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that makes a model, as data; a checkpoint carries the whole of it.

    A domain's subclass adds frozen dataclasses of its own (`network`, ...). Every field survives JSON.

    Attributes:
        name: ``<domain>-<method>`` or ``<domain>-<method>.<tag>``.
        domain: the domain's registered name.
        path: a name in `zoo.engine.path.PATHS`.
        scaling: a name in `zoo.engine.denoiser.SCALINGS`.
        objective: which noise levels are trained, and with what weight.
        training: settings of `zoo.train`.
        finetuning: settings of `zoo.finetune`: fewer steps and a lower learning rate.
        sampling: the model's sampling defaults.
        summary: one or two sentences for the model card: what it does.
        limits: one or two sentences for the model card: what it is not for.
        licence: SPDX identifier of the weights' licence when trained on the recipe's own data.
    """

    name: str
    domain: str
    path: Literal["linear", "cosine", "ve"] = "linear"
    scaling: Literal["x0", "eps", "v", "flow", "edm"] = "flow"
    objective: Objective = Objective()
    training: Training = Training()
    finetuning: Training = Training(steps=500, lr=1e-4, validate_every=50)
    sampling: Sampling = Sampling()
    summary: str = ""
    limits: str = ""
    licence: str = "Apache-2.0"


class Dataset(ABC):
    """Items to train on or to validate with, already encoded by the adapter.

    Attributes:
        sources: where the data come from and under which licence, for the model card.
    """

    sources: tuple[Source, ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """The number of distinct items."""

    @abstractmethod
    def batch(self, size: int, generator: torch.Generator) -> Batch:
        """Draws a batch on the CPU.

        Args:
            size: the number of items B.
            generator: the only source of randomness: the order of the data is a function of
                (seed, step), and a resumed run sees what the uninterrupted one would have seen.
        """

    def from_row(self, row: int, part: int = 0, parts: int = 1) -> "Dataset":
        """What a batch is drawn from, so many items of its part after the start: all, if memory holds it."""
        return self


class Items(Dataset):
    """A dataset of tensors in memory, drawn with replacement.

    Args:
        x: every item, with shape `(N, *)`.
        cond: conditions that lead with N.
        mask: leads with N or 1 and broadcasts to x, as in `Batch`.
        sources: for the model card.
    """

    def __init__(
        self,
        x: torch.Tensor,
        cond: Mapping[str, torch.Tensor] | None = None,
        mask: torch.Tensor | None = None,
        sources: tuple[Source, ...] = (),
    ) -> None:
        self.x, self.cond, self.mask, self.sources = x, dict(cond or {}), mask, sources

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        rows = torch.randint(len(self), (size,), generator=generator)
        mask = self.mask if self.mask is None or len(self.mask) == 1 else self.mask[rows]
        return Batch(self.x[rows], {name: value[rows] for name, value in self.cond.items()}, mask)


class Adapter(ABC):
    """Between raw data and what the network sees; owns the statistics of the training data. Frozen."""

    @abstractmethod
    def encode(self, raw: Any) -> Any:
        """Raw data to normalised tensors."""

    @abstractmethod
    def decode(self, x: Any) -> Any:
        """Normalised tensors to raw data: undoes `encode`."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """The statistics as JSON; `Domain.adapter_from` makes an equal adapter of them."""


class Domain(ABC):
    """One domain of the zoo. A subclass sets the attributes and writes the methods.

    Attributes:
        name: letters and digits; the first part of its models' names.
        recipes: by model name; the first is the default of `zoo train <name>`.
        recipe_class: the subclass of `Recipe` that a checkpoint's recipe is read as.
        model_class: the subclass of `Model` that `zoo.load` returns.
        sample_request: the options of `zoo sample` for this domain's models.
        evaluate_request: the options of `zoo evaluate` for this domain's models.
        data_request: the options of `zoo data`; None if the domain makes no data.
    """

    name: str
    recipes: Mapping[str, Recipe]
    recipe_class: type[Recipe]
    model_class: "type[Model]"
    sample_request: type[SampleRequest] = SampleRequest
    evaluate_request: type[EvaluateRequest] = EvaluateRequest
    data_request: type[DataRequest] | None = None

    @abstractmethod
    def denoiser(self, recipe: Any) -> NetworkDenoiser:
        """The recipe's untrained denoiser. The zoo seeds torch's global generator before it calls this."""

    @abstractmethod
    def dataset(self, source: Any, split: Split, recipe: Any, adapter: Any = None) -> Dataset:
        """Data to train on, or held out to validate with; the two never overlap.

        Args:
            source: a path or raw data; None for the recipe's own data.
            split: "train" or "validation".
            recipe: this domain's recipe.
            adapter: encodes the items; None while the adapter itself is being fitted.

        Raises:
            DataError: if the source cannot be used, saying what is wrong, where, and what to do.
        """

    def suited(self, recipe: Any, dataset: Any) -> Any:
        """The recipe with what only the data tell, such as the number of classes; as it is by default.

        Args:
            recipe: of a model that is to be trained from scratch.
            dataset: its training data, made without an adapter.
        """
        return recipe

    def extend(self, model: Any, source: Any) -> Any:
        """The model with room for what only the data that it is tuned on have: new classes, say.

        Args:
            model: a copy of the one that is fine-tuned, to be changed; all its weights will be trained.
            source: as in `dataset`.
        """
        return model

    @abstractmethod
    def adapter(self, recipe: Any, dataset: Any) -> Adapter:
        """Fits an adapter on a training dataset that was made without one."""

    @abstractmethod
    def adapter_from(self, state: dict[str, Any]) -> Adapter:
        """The adapter whose `Adapter.state` this is.

        Raises:
            ValueError, KeyError or TypeError: if it is no such state.
        """

    @abstractmethod
    def example(self) -> Any:
        """A little raw data made in code: a source for `dataset`, enough to train a few steps on."""

    @abstractmethod
    def sample(self, model: Any, request: Any) -> list[Path]:
        """Runs `zoo sample`: writes what the request (a `sample_request`) asks for; returns the files."""

    @abstractmethod
    def evaluate(self, model: Any, request: Any) -> "pandas.DataFrame":
        """Runs `zoo evaluate` (the request is an `evaluate_request`): measures beside simple baselines."""

    def data(self, request: Any) -> list[Path]:
        """Runs `zoo data` (the request is a `data_request`): makes data to train on; returns the files."""
        raise NotImplementedError

    @abstractmethod
    def demo(self, model: Any, folder: Path) -> list[Path]:
        """Runs `zoo demo`: the model on real data that need no network; returns the files in `folder`."""
