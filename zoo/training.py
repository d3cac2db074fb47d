"""The verbs `zoo.train` and `zoo.finetune`: data and weights in, a model out. The loop is `zoo.fit`."""

import datetime
import hashlib
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path, PurePath
from typing import Any, Literal

import torch

import zoo
from zoo import catalog, checkpoint, folders, lora, parallel, processes, registry, typed
from zoo.domain import Dataset, Domain, Recipe, Sampling, Split, Training
from zoo.engine.denoiser import NetworkDenoiser
from zoo.engine.fewstep import Consistency
from zoo.errors import OptionError, TrainingError
from zoo.fit import fit, measure_by_level
from zoo.loading import build, load
from zoo.manifest import MANIFEST, Lora, Metric, Provenance, Source
from zoo.model import Model, pick_device
from zoo.progress import say
from zoo.run import DivergedError, Fitted, Saving
from zoo.scale import PLAIN, Scale
from zoo.shards import Shards, Streamed
from zoo.state import fingerprint, read_state

SAVE_SECONDS = 60.0
# a one-step model learns from a deterministic sampler
TEACHERS: dict[str, str] = {"ddpm": "euler", "churn": "heun", "sde": "adams2", "consistency": "adams2"}
OWN_LICENCE = "unspecified: depends on the training data"


def train(
    domain: str | Domain,
    data: Any = None,
    *,
    recipe: str | Recipe | None = None,
    steps: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    parts: int | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    device: str = "auto",
    tensorboard: bool = False,
    show: bool = True,
    save_seconds: float = SAVE_SECONDS,
    scale: Scale = PLAIN,
) -> Model:
    """Trains a model from scratch.

    Args:
        domain: a registered name, or the domain itself.
        data: a path or raw data of the domain, or `Shards` of such; None for the recipe's own data.
        recipe: a recipe or its name; None for the domain's first.
        steps, lr, seed: None for the recipe's own (`Recipe.training`).
        parts: that the batch of a step is made of (`Training.parts`); None for those of the run that is
            resumed, else for the recipe's own, or for one a process where that is 1.
        out: folder for the checkpoint, while training for log and state; None keeps all in memory.
        resume: go on from the state in `out` if there is one.
        device: "cpu", "cuda", "mps", or "auto".
        tensorboard: also log for TensorBoard, into `out`.
        show: progress on stderr: a bar on a terminal, a line now and then elsewhere.
        save_seconds: between two saves of the state.
        scale: how the run is carried out: sharded, in mixed precision, compiled (see `zoo.scale`).

    Returns:
        The model with the averaged weights that did best on held-out data.

    Raises:
        DataError: if the data cannot be used.
        TrainingError: if the loss stops being finite, or `out` cannot be resumed.
    """
    keeping = _keeping(out, resume, tensorboard, show, save_seconds)
    found = registry.domain(domain) if isinstance(domain, str) else domain
    chosen = recipe if isinstance(recipe, Recipe) else recipe_of(found, recipe)
    parts = keeping.parts("training") if parts is None else parts
    chosen = replace(chosen, training=_settings(chosen.training, steps=steps, lr=lr, seed=seed, parts=parts))
    _check(chosen, "recipe: ")
    _refuse_taught(chosen)
    raw = found.dataset(_in_memory(data), "train", chosen)
    chosen = found.suited(chosen, raw)
    adapter = found.adapter(chosen, raw)
    denoiser = build(found, chosen, seed=chosen.training.seed).to(pick_device(device))
    untrained = found.model_class(
        found,
        chosen,
        adapter,
        denoiser,
        name=chosen.name,
        licence=chosen.licence if data is None else OWN_LICENCE,
        provenance=_provenance(chosen.training, 0, (), ""),
    )
    return _run(untrained, chosen.training, data, keeping, scale, parent="")


def finetune(
    model: str | PathLike[str] | Model,
    data: Any,
    *,
    steps: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    parts: int | None = None,
    method: Literal["full", "lora", "onestep"] = "full",
    rank: int | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    device: str = "auto",
    tensorboard: bool = False,
    show: bool = True,
    save_seconds: float = SAVE_SECONDS,
    scale: Scale = PLAIN,
) -> Model:
    """Trains a copy of a model further on other data; on held-out data it is never worse than the model.

    That is so unless its recipe keeps the last weights, whatever the loss (`Training.keep`).

    The adapter keeps the model's own statistics. If no step improves on the model, its own weights come back.

    Args:
        model: a model, or a reference to one.
        data: a path or raw data of the domain; None for the recipe's own, with "onestep" and a model that was
            trained on them.
        method: "full" trains all weights, "lora" small changes to them (see `zoo.lora`), which are stored
            alone and loaded with the model that they change. If it has some already, "lora" trains those.
            "onestep" trains all weights to do in one step of the sampler what the model does in its own,
            without guidance (see `zoo.engine.fewstep`); its loss is the distance from what the model draws.
        rank: of the changes; None for 8, or for what they have already.
        steps, lr, seed: None for the recipe's own (`Recipe.finetuning`).
        parts, out, resume, device, tensorboard, show, save_seconds, scale: as in `train`.

    Raises:
        DataError: if the data cannot be used.
        TrainingError: if the loss stops being finite, or `out` cannot be resumed.
    """
    if method not in ("full", "lora", "onestep"):
        raise OptionError(f"method must be 'full', 'lora' or 'onestep', not {method!r}")
    keeping = _keeping(out, resume, tensorboard, show, save_seconds, adapter=method == "lora")
    parent = model if isinstance(model, Model) else load(model)
    _refuse_taught(parent.recipe)
    if data is None and (method != "onestep" or parent.provenance.data_given):
        raise OptionError("fine-tuning needs data: data=..., --data")
    tuned = parent.copy() if method == "lora" else parent.merge().copy()
    tuned.to(device)
    parts = keeping.parts("finetuning") if parts is None else parts
    settings = _settings(tuned.recipe.finetuning, steps=steps, lr=lr, seed=seed, parts=parts)
    tuned.recipe = replace(tuned.recipe, finetuning=settings)
    _check(tuned.recipe, "recipe: ")
    tuned.licence = OWN_LICENCE
    tuned.name = f"{parent.name.partition('.')[0]}.{'onestep' if method == 'onestep' else 'tuned'}"
    learner = None
    if method == "full":
        tuned = tuned.domain.extend(tuned, _in_memory(data))
    if method == "onestep":
        if rank is not None:
            raise OptionError("rank is of lora's changes: leave it out")
        own: Sampling = tuned.recipe.sampling
        sampler = TEACHERS.get(own.sampler, own.sampler)
        learner = Consistency(tuned.denoiser, own.steps, sampler, own.grid)
        one = replace(own, sampler="consistency", steps=1, guidance=None)
        tuned.recipe = replace(tuned.recipe, sampling=one)
        tuned.licence = parent.licence if data is None else OWN_LICENCE
    if method == "lora" and parent.lora is None:
        rank = 8 if rank is None else rank
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(settings.seed)
            lora.adapt(tuned.denoiser, rank, 2.0 * rank)
        digest = checkpoint.digest(parent.denoiser.state_dict())
        pinned = Lora(rank, 2.0 * rank, _base(parent), digest)
        tuned.lora = pinned
    elif method == "lora" and parent.lora is not None and rank not in (None, parent.lora.rank):
        raise OptionError(f"the changes to this model have rank {parent.lora.rank}; leave rank out")
    return _run(tuned, settings, data, keeping, scale, parent=_reference(parent), learner=learner)


def _refuse_taught(recipe: Recipe) -> None:
    """The loss of training would spoil a model that draws in one step: it makes the mean of all ends of it.

    Raises:
        OptionError: if the recipe is of such a model.
    """
    if recipe.sampling.sampler == "consistency":
        raise OptionError(
            "a one-step model is not trained further: train the one that taught it, then method='onestep'"
        )


@dataclass(frozen=True)
class _Keeping:
    """What a run leaves behind while it goes on, and what it shows; see `train`."""

    folder: Path | None
    resume: bool
    tensorboard: bool
    show: bool
    save_seconds: float

    def parts(self, stage: str) -> int | None:
        """Of a batch of the run that is resumed, by the settings of that field of its recipe; else None."""
        if self.folder is None or not self.resume or not (self.folder / checkpoint.STATE).is_file():
            return None
        return read_state(self.folder / checkpoint.STATE, "identity", "recipe", stage, "parts")


def _keeping(
    out: str | PathLike[str] | None,
    resume: bool,
    tensorboard: bool,
    show: bool,
    save_seconds: float,
    adapter: bool = False,
) -> _Keeping:
    """Checks the folder before any work is done."""
    if out is None:
        if resume or tensorboard:
            raise OptionError("resume and tensorboard need a folder: out=...")
        return _Keeping(None, resume, tensorboard, show, save_seconds)
    folder = Path(out).expanduser()
    if processes.main():
        folders.recover(folder)
    checkpoint.check_place(folder, adapter=adapter)
    if resume and (folder / MANIFEST).is_file() and not (folder / checkpoint.STATE).is_file():
        raise TrainingError(f"{folder}: the run there is finished: nothing to resume")
    return _Keeping(folder, resume, tensorboard, show, save_seconds)


def _run(
    model: Model,
    settings: Training,
    data: Any,
    keeping: _Keeping,
    scale: Scale,
    *,
    parent: str,
    learner: NetworkDenoiser | None = None,
) -> Model:
    """Fits `model` in place, saves it where asked, and returns it; the learner's loss is its own, if any."""
    domain, recipe, folder, device = model.domain, model.recipe, keeping.folder, model.device

    def made(raw: Any, split: Split = "train") -> Dataset:
        return domain.dataset(raw, split, recipe, model.adapter)

    dataset = Streamed(data, made, settings.seed) if isinstance(data, Shards) else made(data)
    held_out = made(_in_memory(data), "validation")
    saving = board = None
    if folder is not None:
        identity = {
            "recipe": typed.to_json(recipe),
            "parent": parent,
            "sha256 of the data file": _file_digest(data),
            "sha256 of the parent": fingerprint(model.denoiser.state_dict()) if parent else "",
            "sha256 of the adapter": fingerprint(model.adapter.state()),
            "items": len(dataset),
            "held_out": len(held_out),
        }
        saving = Saving(folder, keeping.save_seconds, identity, keeping.resume)
        board = folder / checkpoint.BOARD if keeping.tensorboard else None
    sources = (*model.provenance.sources, *(dataset.sources or _own(data)))

    def finish(fitted: Fitted) -> Model:
        model.to(device)
        model.denoiser.load_state_dict(fitted.tensors)
        model.denoiser.eval()
        # a consistency function is no mean of the data: the diffusion loss would say nothing of it
        by_level = measure_by_level(model.denoiser, held_out, settings) if learner is None else ()
        if keeping.show and by_level and processes.main():
            say("validation loss by noise level: " + ", ".join(f"t={t}: {loss:.4g}" for t, loss in by_level))
        made = _provenance(settings, fitted.step, sources, parent)
        model.provenance = replace(made, data_given=data is not None, loss_by_level=by_level)
        before = f"{parent} before" if parent else "untrained"
        model.metrics = (Metric("loss on held-out data", fitted.loss, fitted.first, before),)
        if folder is not None and processes.main():
            model.save(folder, log=(folder / checkpoint.LOG).read_bytes())
        parallel.total(0)  # whoever returns may load what was saved
        return model

    try:
        return finish(
            fit(
                model.denoiser if learner is None else learner,
                dataset,
                held_out,
                settings,
                scale=scale,
                saving=saving,
                board=board,
                show=keeping.show,
            )
        )
    except DivergedError as error:
        if folder is None or error.best.step == 0:
            raise
        finish(error.best)
        raise TrainingError(
            f"{error}; the best weights before that, of step {error.best.step}, are in {folder}"
        ) from error


def _in_memory(data: Any) -> Any:
    """The data, or so much of shards as stands for all of them."""
    return data.first() if isinstance(data, Shards) else data


def _reference(model: Model) -> str:
    """How a card names a model that another one comes from."""
    made = model.provenance
    return f"{made.repo}@{made.commit}" if made.repo else model.name


def _base(model: Model) -> str:
    """How an adapter names its base: "" if others cannot get it by any name."""
    made = model.provenance
    if made.repo:
        return _reference(model)
    for entry in catalog.scan()[0]:
        shipped = entry.manifest.files[entry.manifest.weights].sha256
        if entry.manifest.name == model.name and shipped in made.sha256.values():
            return model.name
    return ""


def recipe_of(domain: Domain, name: str | None) -> Recipe:
    """The recipe of that name, or the domain's first.

    Raises:
        OptionError: if there is none.
    """
    if name is None:
        return next(iter(domain.recipes.values()))
    if name not in domain.recipes:
        raise OptionError(
            f"no recipe {name!r} in domain {domain.name!r}; there are: {', '.join(domain.recipes)}"
        )
    return domain.recipes[name]


def _settings(
    own: Training, *, steps: int | None, lr: float | None, seed: int | None, parts: int | None
) -> Training:
    changed = replace(
        own,
        steps=own.steps if steps is None else steps,
        lr=own.lr if lr is None else lr,
        seed=own.seed if seed is None else seed,
        parts=(processes.size() if own.parts == 1 else own.parts) if parts is None else parts,
    )
    _check(changed)
    return changed


def _check(settings: Training | Recipe, what: str = "") -> None:
    """Refuses values out of their bounds before any work is done: no checkpoint could hold them."""
    try:
        typed.to_json(settings)
    except ValueError as error:
        raise OptionError(f"{what}{error}") from None


def _provenance(settings: Training, step: int, sources: tuple[Source, ...], parent: str) -> Provenance:
    return Provenance(
        zoo=zoo.__version__,
        torch=torch.__version__,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        steps=step,
        of=settings.steps,
        seed=settings.seed,
        sources=tuple(dict.fromkeys(sources)),
        parent=parent,
    )


def _file_digest(data: Any) -> str:
    """The start of the sha256 of a file, or of what shards say of themselves; "" for other data.

    What those are is known by what the adapter makes of them alone.
    """
    if isinstance(data, Shards):
        return fingerprint([list(window) for window in data.windows])[:16]
    if not isinstance(data, str | PathLike) or not (path := Path(data).expanduser()).is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _own(data: Any) -> tuple[Source, ...]:
    """Data of the user's own, by file name or kind; the zoo does not know their licence."""
    if data is None:
        return ()
    if isinstance(data, Shards):
        name = f"shards such as {PurePath(data.windows[0].path).name}"
    else:
        name = Path(data).name if isinstance(data, str | PathLike) else type(data).__name__
    return (Source(name, "unspecified"),)
