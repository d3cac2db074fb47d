"""`zoo.load`: from a reference to a model, strictly; and how untrained denoisers are built."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from zoo import catalog, checkpoint, lora, manifest, reference, registry, typed
from zoo.domain import Domain, Recipe
from zoo.engine.denoiser import NetworkDenoiser
from zoo.errors import CheckpointError, OptionError
from zoo.hub.connection import AS_USUAL, Hub
from zoo.hub.pulling import Place
from zoo.manifest import Lora
from zoo.model import Model


def load(
    ref: str | PathLike[str],
    *,
    device: str = "auto",
    base: "str | PathLike[str] | Model | None" = None,
    revision: str | None = None,
    offline: bool | None = None,
    endpoint: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | PathLike[str] | None = None,
) -> Model:
    """Loads a model.

    Args:
        ref: a name (`zoo.list_models`), ``"./folder"``, ``"org/repo"`` or ``"org/repo@revision"``.
        device: "cpu", "cuda", "mps", or "auto" for the fastest there is.
        base: for an adapter, the model that it changes, or a reference to it; None will do for a shipped one.
        revision: a branch, tag or commit on the Hub; of a shipped name, in our organisation there.
        offline: use what is in the cache alone; None for ``HF_HUB_OFFLINE``.
        endpoint: address of the Hub; None for ``HF_ENDPOINT``, or huggingface.co.
        token: None for ``HF_TOKEN`` or the login of ``hf auth login``, which are not sent to an `endpoint`
            given here; False for none.
        cache_dir: of downloads; None for ``HF_HUB_CACHE``, or a folder in ``HF_HOME``.

    Raises:
        UnknownModelError: if there is no such model.
        CheckpointError: if the checkpoint is incomplete, altered or of a newer schema, or the base is wrong.
        HubError: if the Hub cannot be reached.
        PluginError or UnknownDomainError: if its domain is broken or not installed.
    """
    hub = Hub(endpoint, token, cache_dir, offline)
    return load_at(reference.resolve(ref, hub, revision), base=base, hub=hub).to(device)


def load_at(place: Place, *, base: "str | PathLike[str] | Model | None" = None, hub: Hub = AS_USUAL) -> Model:
    """The model of the checkpoint there, on the CPU; see `load`."""
    folder = place.folder
    described = manifest.read(folder)
    checkpoint.check_files(folder, described)
    where = str(folder / manifest.MANIFEST)
    domain = registry.domain(described.domain)
    recipe = read_recipe(domain, described.recipe, where)
    try:
        adapter = domain.adapter_from(described.adapter)
    except Exception as error:  # a domain may choke on a hostile state in any way
        raise CheckpointError(f"{where}: adapter: {type(error).__name__}: {error}") from None
    if described.lora is None:
        if base is not None:
            raise OptionError(f"{where}: is a full model, which needs no base")
        try:
            with _no_larger_than(described.parameters), _Unfilled():
                denoiser = build(domain, recipe, seed=0)
        except OptionError as error:
            raise CheckpointError(f"{where}: {error}") from None
        own = denoiser.state_dict()
        of = "the recipe's network"
    else:
        whole = _base_of(described.lora, described.domain, base, hub, where)
        if not _builds_alike(recipe, whole.recipe):
            raise CheckpointError(f"{where}: recipe: describes another network or path than that of its base")
        denoiser = whole.denoiser
        with torch.random.fork_rng(devices=[]), _no_larger_than(described.parameters):
            try:
                lora.adapt(denoiser, described.lora.rank, described.lora.alpha)
            except MemoryError as error:
                raise CheckpointError(f"{where}: {error}") from None
        own = lora.tensors_of(denoiser)
        of = "the adapted base"
    checkpoint.check_tables(where, found=described.tensors, wanted=checkpoint.table(own), of=of, half=True)
    tensors = checkpoint.read_tensors(folder, described)
    # Weights stored in half precision compute in single precision.
    stored = {name: t.to(own[name].dtype) for name, t in tensors.items()}
    denoiser.load_state_dict(denoiser.state_dict() | stored)
    hashes = {name: file.sha256 for name, file in described.files.items()}
    return domain.model_class(
        domain,
        recipe,
        adapter,
        denoiser,
        provenance=replace(described.provenance, repo=place.repo, commit=place.commit, sha256=hashes),
        name=described.name,
        licence=described.licence,
        metrics=described.metrics,
        lora=described.lora,
    )


@contextmanager
def _no_larger_than(values: int) -> Iterator[None]:
    """Stops the building of a network that is far larger than the file: a recipe must not fill the memory.

    Layers register a parameter before they write to it, so that no memory is in use by then.
    """
    left, thread = 2 * values + 2**20, threading.get_ident()

    def count(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        nonlocal left
        if parameter is not None and threading.get_ident() == thread:
            left -= parameter.numel()
        if left < 0:
            raise MemoryError(f"it has many more values than the {values} of the weights file")

    handle = torch.nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


class _Unfilled(TorchFunctionMode):
    """Leaves parameters as they come from memory, where they would be filled: they are about to be read.

    So fewer random numbers are drawn: a random buffer that is not saved would differ from that of `build`.
    """

    FILLS = (torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.fill_, torch.Tensor.zero_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        fills = func in self.FILLS or getattr(func, "__module__", "") == "torch.nn.init"
        filled = (args[0] if args else kwargs.get("tensor")) if fills else None
        return filled if isinstance(filled, torch.nn.Parameter) else func(*args, **kwargs)


def _base_of(
    pinned: Lora, domain: str, base: "str | PathLike[str] | Model | None", hub: Hub, where: str
) -> Model:
    """A copy of the base of an adapter; only a shipped one is chosen by the checkpoint itself.

    Raises:
        CheckpointError: if the base is not given, or not the one that the adapter was made on.
    """
    if base is None:
        if not is_shipped(pinned.base):
            choose = f"if you trust it, pass base={pinned.base!r}" if "/" in pinned.base else "pass base=..."
            raise CheckpointError(
                f"{where}: is an adapter, and a file must not choose what else is loaded: {choose}"
            )
        base = pinned.base
    whole = base if isinstance(base, Model) else load_at(reference.resolve(base, hub), hub=hub)
    if whole.domain.name != domain or checkpoint.digest(whole.denoiser.state_dict()) != pinned.base_sha256:
        raise CheckpointError(
            f"{where}: was made on {pinned.base or 'a model'!r} with the weights {pinned.base_sha256[:12]}…; "
            f"{whole.name!r} has others: pass the right base=..."
        )
    return whole.copy()


def is_shipped(name: str) -> bool:
    """Whether a model of this name is installed."""
    return any(entry.manifest.name == name for entry in catalog.scan()[0])


def _builds_alike(recipe: Recipe, other: Recipe) -> bool:
    """Whether two recipes differ at most in words, and in how they are trained and sampled."""
    free = ("name", "training", "finetuning", "sampling", "summary", "limits", "licence")
    return recipe == replace(other, **{field: getattr(recipe, field) for field in free})


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
        except Exception as error:  # a domain may choke on a hostile recipe in any way
            raise OptionError(f"recipe {recipe.name!r}: the network cannot be built: {error}") from error
