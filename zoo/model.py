"""Models: what `zoo.load` returns. The verbs of every domain stand here, a domain's own on its subclass."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import torch

from zoo import checkpoint, lora, parallel, processes, typed
from zoo.domain import Domain, Sampling
from zoo.engine.denoiser import Denoiser, NetworkDenoiser
from zoo.engine.noise import NoiseSource
from zoo.engine.sampler import SAMPLERS, Samples, sample
from zoo.errors import OptionError
from zoo.hub.connection import Hub
from zoo.hub.pushing import Pushed, push, reference_to
from zoo.manifest import SCHEMA, Lora, Manifest, Metric, Provenance
from zoo.scale import compiled_if_it_can


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
        lora: set if the denoiser is a base with an adapter: `save` and `push` then store the adapter alone.
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
        lora: Lora | None = None,
    ) -> None:
        self.domain = domain
        self.recipe = recipe
        self.adapter = adapter
        self.denoiser = denoiser.eval()
        self.provenance = provenance
        self.name = name
        self.licence = licence
        self.metrics = metrics
        self.lora = lora

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
        start: torch.Tensor | None = None,
        strength: float = 1.0,
        denoiser: Denoiser | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        device: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Samples:
        """Draws in the network's space with the model's sampling defaults; `sample` is made of it.

        Under `zoo.processes.together`, every process draws its share and gets all; a guided denoiser must
        then hold nothing that belongs to single rows.

        Args:
            members: the noise, one stream a sample.
            shape: of one sample.
            cond, mask, known, start, strength: as in `zoo.engine.sampler.sample`; on any device.
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
        steps = whole("steps", steps)
        if len(members) < 1:
            raise OptionError(f"n must be at least 1, not {len(members)}")
        if device is not None:
            self.to(device)
        place = self.device
        cond = {name: value.to(place) for name, value in (cond or {}).items()}
        mask, known, start = (None if v is None else v.to(place) for v in (mask, known, start))
        share = None
        if processes.share_draws(len(members)):
            given = [v for v in (*cond.values(), mask, known, start) if v is not None]
            share = parallel.Share(len(members), map(len, given))
            members, cond = share.noise(members), {name: share.of(value) for name, value in cond.items()}
            mask, known, start = (None if v is None else share.of(v) for v in (mask, known, start))
        drawn = sample(
            self.denoiser if denoiser is None else denoiser,
            members,
            shape,
            cond=cond,
            mask=mask,
            known=known,
            start=start,
            strength=strength,
            steps=steps,
            sampler=sampler,
            grid=own.grid,
            progress=progress,
        )
        return drawn if share is None else share.gathered(drawn)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.denoiser.parameters()).device

    def to(self, device: str | torch.device) -> Self:
        """Moves the weights; "auto" is the fastest device there is. Returns the model itself."""
        self.denoiser.to(pick_device(device))
        return self

    def compile(self) -> Self:
        """Has the network compiled (`torch.compile`) when it next draws; returns the model itself.

        Every shape of what it draws is compiled on its own when it first comes, which takes seconds to a
        minute, up to about eight for all models of a process. Draws of that shape are then the same to
        rounding and faster, but for the smallest networks. Where it fails, a warning, and draws go on as
        before. Copies, and what is saved, know nothing of it.
        """
        network = self.denoiser.network
        # where torch.nn.Module.compile puts it: pickles and copies leave it out
        network._compiled_call_impl = compiled_if_it_can(network._call_impl)  # pyright: ignore[reportAttributeAccessIssue]
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
            lora=self.lora,
        )

    def evaluate(self, data: str | PathLike[str] | None = None, *, seed: int = 0) -> Any:
        """Measures the model beside simple baselines: a data frame, or what the domain has in its place.

        Args:
            data: a file; None for the domain's own evaluation.
            seed: of the samples.
        """
        request = self.domain.evaluate_request(data=None if data is None else Path(data), seed=seed)
        return self.domain.evaluate(self, request)

    def pack(
        self,
        *,
        ref: str,
        precision: Literal["float32", "float16"] = "float32",
        log: bytes | None = None,
    ) -> dict[str, bytes]:
        """The files of a checkpoint of this model: see `zoo.checkpoint.pack`.

        Args:
            ref: how the card says that the model is loaded.
            precision: "float16" rounds the weights, in the files alone, and halves their size.
            log: a training log to keep beside the weights.

        Raises:
            OptionError: for an unknown precision.
            CheckpointError: if a weight is not finite, or beyond what the precision can hold.
        """
        if precision not in ("float32", "float16"):
            raise OptionError(f"precision must be 'float32' or 'float16', not {precision!r}")
        tensors = self.denoiser.state_dict() if self.lora is None else lora.tensors_of(self.denoiser)
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
            lora=self.lora,
        )
        return checkpoint.pack(draft, tensors, ref=ref, log=log)

    def save(
        self,
        folder: str | PathLike[str],
        *,
        precision: Literal["float32", "float16"] = "float32",
        log: bytes | None = None,
    ) -> Path:
        """Writes a checkpoint folder that `zoo.load` reads; an older checkpoint there is replaced.

        Args:
            folder: where to.
            precision, log: as in `pack`.

        Raises:
            CheckpointError: if the folder holds files that are not ours; and as in `pack`.
        """
        path = Path(folder).expanduser()
        checkpoint.check_place(path)
        checkpoint.write(path, self.pack(ref=f"./{path.name}", precision=precision, log=log))
        return path

    def push(
        self,
        repo: str,
        *,
        branch: str = "main",
        tag: str | None = None,
        private: bool | None = None,
        parent: str | None = None,
        message: str = "",
        dry_run: bool = False,
        precision: Literal["float32", "float16"] = "float32",
        offline: bool | None = None,
        endpoint: str | None = None,
        token: str | bool | None = None,
    ) -> Pushed:
        """Makes a branch of a Hub repository hold this model, in one commit; makes the repository if need be.

        If the branch holds it already, no commit is made. Files that are not of a checkpoint are left alone.

        Args:
            repo: ``"org/repo"``.
            branch: made from the main branch if it does not exist.
            tag: given to the commit; an existing tag is never moved.
            private: of a new repository; None for the account's default. One that exists must be as asked.
            parent: the commit that the branch must be at; None for whatever it is at when the push begins.
            message: of the commit.
            dry_run: tell what would change, and change nothing.
            precision: as in `pack`.
            offline, endpoint, token: as in `load`; offline, a push is refused.

        Raises:
            ConflictError: if someone else changed the branch meanwhile; then nothing was pushed.
            HubError: if the Hub cannot be reached or refuses.
            OptionError: if the repository is not private or public as asked, or the tag exists elsewhere.
        """
        return push(
            self.pack(ref=reference_to(repo, branch), precision=precision),
            repo,
            Hub(endpoint, token, None, offline),
            branch=branch,
            tag=tag,
            private=private,
            parent=parent,
            message=message,
            dry_run=dry_run,
        )

    def merge(self) -> Self:
        """The full model that an adapter makes of its base; a full model gives itself.

        Raises:
            MissingExtraError: without peft.
        """
        if self.lora is None:
            return self
        whole = self.copy()
        whole.denoiser, whole.lora = lora.merged(whole.denoiser).eval(), None
        whole.provenance = replace(whole.provenance, repo="", commit="", sha256={})
        return whole

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.denoiser.parameters())
        return f"<{type(self).__name__} {self.name}: {count:,} parameters on {self.device}>"


def whole(name: str, value: Any, least: int = 1) -> int:
    """A number of steps, samples and the like, as an int.

    Raises:
        OptionError: if it is no whole number, or less than `least`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise OptionError(f"{name} must be a whole number, not {value!r}") from None
    if number < least:
        raise OptionError(f"{name} must be at least {least}, not {number}")
    return number


def pick_device(name: str | torch.device) -> torch.device:
    """The device of that name; "auto" is CUDA if there is one, else Apple's GPU, else the CPU.

    Where torchrun started several processes, each has a CUDA device of its own.

    Raises:
        OptionError: if there is no such device here.
    """
    if name == "auto":
        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        name = "cuda" if cuda else "mps" if mps else "cpu"
    if str(name) == "cuda" and processes.size() > 1:
        name = f"cuda:{processes.local_rank()}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise OptionError(f"no device {str(name)!r} here; use 'auto', 'cpu', 'cuda' or 'mps'") from None
    return device
