"""What every registered domain must do: runs over the registry, so that installing a domain tests it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import zoo
from zoo import registry, typed
from zoo.domain import Domain
from zoo.loading import build

NAMES = sorted({*registry.names(), "rings"})


@pytest.fixture(scope="module", params=NAMES)
def domain(request, plugins) -> Domain:
    return registry.domain(request.param)


@pytest.fixture(scope="module")
def trained(domain):
    """A model of two steps on the domain's example."""
    recipe = next(iter(domain.recipes.values()))
    brief = replace(recipe.training, steps=2, batch_size=4, validation_batches=1)
    return zoo.train(
        domain, domain.example(), recipe=replace(recipe, training=brief), device="cpu", show=False
    )


@pytest.fixture(scope="module")
def made(domain):
    """The first recipe, its adapter, and the data of each split."""
    recipe = next(iter(domain.recipes.values()))
    raw = domain.dataset(domain.example(), "train", recipe)
    recipe = domain.suited(recipe, raw)
    adapter = domain.adapter(recipe, raw)
    splits = ("train", "validation")
    return (
        recipe,
        adapter,
        {split: domain.dataset(domain.example(), split, recipe, adapter) for split in splits},
    )


def values(samples):
    """The numbers of each sample; samples may differ in size."""
    rows = samples.to_numpy() if isinstance(samples, pd.DataFrame) else samples
    return [np.asarray(one, float) for one in rows]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_recipes_are_data_and_build(domain):
    assert domain.recipes
    for name, recipe in domain.recipes.items():
        assert (recipe.name, recipe.domain) == (name, domain.name)
        assert typed.from_json(domain.recipe_class, json.loads(json.dumps(typed.to_json(recipe)))) == recipe
        first, again = (build(domain, recipe, seed=0).state_dict() for _ in range(2))
        assert all(torch.equal(first[key], again[key]) for key in first)


def test_adapter_survives_json(domain, made):
    _, adapter, _ = made
    again = domain.adapter_from(json.loads(json.dumps(adapter.state())))
    assert again.state() == adapter.state()


def test_batches_are_a_function_of_the_generator_alone(made):
    _, _, data = made
    first, again, other = (data["train"].batch(6, generator(seed)) for seed in (0, 0, 1))
    assert len(first.x) == 6
    assert torch.equal(first.x, again.x)
    assert all(torch.equal(first.cond[name], again.cond[name]) for name in first.cond)
    assert not torch.equal(first.x, other.x)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_loss_is_finite_and_reaches_the_weights(domain, made, split):
    recipe, _, data = made
    assert len(data[split]) > 0
    denoiser = build(domain, recipe, seed=0)
    loss = denoiser.loss(data[split].batch(6, generator(0)), generator(1))
    assert loss.shape == (6,)
    assert loss.isfinite().all()
    loss.mean().backward()
    reached = [p.grad is not None and bool(p.grad.isfinite().all()) for p in denoiser.parameters()]
    assert all(reached)


def test_train_save_load_sample(domain, trained, tmp_path):
    loaded = zoo.load(trained.save(tmp_path / "model"), device="cpu")
    ours, theirs = (values(m.sample(2, seed=3)) for m in (trained, loaded))
    assert len(ours) == 2 and all(np.isfinite(one).all() for one in ours)
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_members_do_not_change_when_more_are_drawn(trained):
    three, two, others = (values(trained.sample(n, seed=seed)) for n, seed in ((3, 3), (2, 3), (2, 4)))
    for one, same, other in zip(three[:2], two, others, strict=True):
        scale = np.abs(one).max()
        assert np.abs(one - same).max() < 1e-4 * scale
        assert other.shape != one.shape or np.abs(other - one).max() > 1e-2 * scale


def test_finetuning_takes_the_same_data(domain, trained):
    tuned = zoo.finetune(trained, domain.example(), steps=1, device="cpu", show=False)
    assert tuned.provenance.parent == trained.name
    assert tuned.metrics[0].value <= tuned.metrics[0].baseline
