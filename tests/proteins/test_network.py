"""Training: batches, noise, losses and the network, whatever the weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from domains.proteins import domain, neighbours
from domains.proteins.adapter import ProteinAdapter, restored, spread
from domains.proteins.backbone import Size
from domains.proteins.chain import Backbone, Cloud
from domains.proteins.data import Chains
from domains.proteins.dataset import ProteinItems, rotations
from domains.proteins.denoiser import Drawing, Ragged, centred, correlated
from domains.proteins.frames import frames, peptide_frames, surroundings
from domains.proteins.recipes import FLOW, POINTS
from zoo.engine import Members
from zoo.errors import DataError
from zoo.loading import build

SMALL = Size(width=32, depth=2, condition=16, pair=8)
EXAMPLE = domain.example()


@pytest.fixture(scope="module", params=["ca", "backbone"])
def made(request):
    recipe = replace(FLOW, atoms=request.param, network=SMALL, told=0.0)
    raw = domain.dataset(EXAMPLE, "train", recipe)
    recipe = domain.suited(recipe, raw)
    adapter = domain.adapter(recipe, raw)
    denoiser = build(domain, recipe, seed=0)
    generator = torch.Generator().manual_seed(1)
    for parameter in denoiser.parameters():  # what begins at zero would hide everything
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return recipe, adapter, denoiser


def data(made, **fields):
    recipe, adapter, _ = made
    return domain.dataset(EXAMPLE, "train", replace(recipe, **fields), adapter)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_network_has_the_scale_of_the_data(made):
    recipe, adapter, denoiser = made
    assert recipe.scale == adapter.scale == denoiser.network.scale != FLOW.scale
    whole = np.concatenate([one.ca - one.ca.mean(0) for one in data(made).chains.items])
    assert adapter.scale == pytest.approx(whole.std(), rel=1e-3)


def test_adapters_undo_themselves(made):
    _, adapter, _ = made
    chain = EXAMPLE.items[0]
    again = adapter.decode(adapter.encode(chain))
    assert again.ca == pytest.approx(chain.ca, abs=0.03)
    if adapter.atoms == "backbone":
        assert again.coords == pytest.approx(chain.coords, abs=0.1)
        assert adapter.encode(chain)[:, :3] * adapter.scale == pytest.approx(chain.ca, abs=1e-3)


def test_batches_are_turned_centred_and_padded(made):
    _, adapter, _ = made
    batch = data(made, motifs=0.0).batch(12, generator())
    present, values = batch.cond["present"], adapter.values
    assert batch.x.shape == (12, present.sum(1).max(), values)
    assert torch.equal(batch.mask[..., 0], present)
    assert (batch.x[~present] == 0).all()
    for row, there in zip(batch.x, present, strict=True):
        points = row[there].view(-1, 3)
        assert points.mean(0).abs().max() < 1e-5
        ca = row[there][:, :3].double() * adapter.scale
        assert torch.allclose(ca.diff(dim=0).norm(dim=1), torch.tensor(3.8).double(), atol=0.01)
        steps = ca.diff(dim=0)  # no mirror image: helices stay right-handed
        turn = (torch.linalg.cross(steps[:-2], steps[1:-1]) * steps[2:]).sum(1)
        if ca[3].sub(ca[0]).norm() < 6:  # a helix
            assert turn[:14].median() > 0


def test_chains_are_turned_at_random(made):
    recipe, adapter, _ = made
    items = ProteinItems(Chains(EXAMPLE.items[:1]), replace(recipe, motifs=0.0), adapter)
    x = items.batch(400, generator()).x[..., :3]
    along = torch.nn.functional.normalize(x[:, -1] - x[:, 0], dim=1)
    assert along.mean(0).norm() < 0.15 and (along.T @ along / 400 - torch.eye(3) / 3).abs().max() < 0.1


def test_a_cluster_is_drawn_first_then_a_chain_then_a_piece(made):
    recipe, adapter, _ = made
    letters = "ACDEFGHIKLMNPQRSTVWY" * 3
    alike = [replace(one, sequence=letters[: len(one)]) for one in EXAMPLE.items[:9]]
    alone = replace(EXAMPLE.items[9], sequence=letters[::-1][: len(EXAMPLE.items[9])])
    recipe = replace(recipe, shortest=10, longest=42, pieces=0.3)
    items = ProteinItems(Chains((*alike, alone)), recipe, adapter, [EXAMPLE.items[2], EXAMPLE.items[4]])
    draws = torch.rand(6000, 4, generator=generator(), dtype=torch.float64).tolist()
    drawn = torch.tensor([items._pick(*one) for one in draws])
    assert (drawn == 9).float().mean() == pytest.approx(0.35, abs=0.02)  # of .7, half
    assert (drawn < 9).float().mean() == pytest.approx(0.35, abs=0.02)
    of_first = [i for i, (which, _) in items.origin.items() if which == 0]
    assert sum((drawn == i).float().mean() for i in of_first) == pytest.approx(0.15, abs=0.02)
    assert len(set(drawn.tolist())) == len(items)


def test_chains_of_a_batch_are_about_as_long_and_all_lengths_are_drawn(made):
    recipe, adapter, _ = made
    chains = Chains(tuple(one.part(0, 10 + 2 * i) for i, one in enumerate(EXAMPLE.items[:15])))
    items = ProteinItems(chains, replace(recipe, motifs=0.0), adapter)
    lengths = torch.stack([items.batch(8, generator(i)).cond["present"].sum(1) for i in range(200)]).float()
    assert lengths.mean() == pytest.approx(24, abs=1) and lengths.std() == pytest.approx(8.9, abs=1)
    assert lengths.std(1).mean() < 4


def test_nothing_is_told_where_a_piece_has_lost_its_partner(made):
    pytest.importorskip("pydssp", reason="needs the extra proteins")
    recipe, adapter, _ = made
    recipe = replace(recipe, shortest=10, longest=42, pieces=1.0)
    items = ProteinItems(Chains(EXAMPLE.items[:2]), recipe, adapter, EXAMPLE.items[2:3])
    i, (_, first) = next(iter(items.origin.items()))
    items._letters[0] = "E" * len(EXAMPLE.items[2])
    own = EXAMPLE.items[2].part(first, first + 10).secondary
    assert items.secondary(i).tolist() == [2 if letter == "E" else 0 for letter in own]


def test_some_batches_have_a_part_given_inside_or_outside(made):
    batch = data(made, motifs=0.5).batch(300, generator())
    present, drawn = batch.cond["present"], batch.mask[..., 0]
    assert not (drawn & ~present).any() and drawn.any(1).all()
    given = present & ~drawn
    partly = given.any(1)
    assert partly.float().mean() == pytest.approx(0.5, abs=0.09)
    changes = (given[:, 1:] != given[:, :-1]).sum(1)[partly]
    assert changes.max() <= 3  # one piece, or all but one, and the padding behind
    inside = given[partly, 0] & given[partly].gather(1, (present[partly].sum(1, keepdim=True) - 1)).squeeze(1)
    assert 0.2 < inside.float().mean() < 0.7
    for x, mine in zip(batch.x[partly], given[partly], strict=True):
        assert x[mine].view(-1, 3).mean(0).abs().max() < 1e-5  # stands in the middle


def test_short_chains_can_have_a_part_given(made):
    short = Chains(tuple(one.part(0, 4) for one in EXAMPLE.items))
    recipe, adapter, _ = made
    items = domain.dataset(short, "train", replace(recipe, shortest=4, motifs=1.0), adapter)
    drawn = items.batch(64, generator()).mask[..., 0]
    assert drawn.any(1).all() and not drawn.all(1).any()


def test_secondary_structure_is_told_of_some(made):
    pytest.importorskip("pydssp", reason="needs the extra proteins")
    batch = data(made, told=0.5, motifs=0.0).batch(200, generator())
    letters, present = batch.cond["secondary"], batch.cond["present"]
    told = letters.any(1)
    assert told.float().mean() == pytest.approx(0.5, abs=0.1)
    wholly = (letters > 0).sum(1) == present.sum(1)
    assert wholly.float().mean() == pytest.approx(0.25, abs=0.1)  # of the others, a piece or all but a piece
    changes = ((letters[:, 1:] > 0) != (letters[:, :-1] > 0)).sum(1)
    assert changes.max() <= 3 and 0.1 < ((letters > 0).sum(1) / present.sum(1))[told & ~wholly].mean() < 0.9
    assert (letters[~present] == 0).all()


def test_noise_is_centred_under_the_mask():
    noise = torch.randn(4, 10, 12, generator=generator())
    present = torch.ones(4, 10, dtype=torch.bool)
    present[1, 6:] = False
    drawn = present[..., None].expand_as(noise).clone()
    drawn[2, 3:5] = False
    found = centred(noise, present, drawn)
    for row in (0, 1):
        assert found[row][present[row]].view(-1, 3).mean(0).abs().max() < 1e-6
    assert torch.equal(found[2], noise[2])  # a part that is given says where the chain is
    shift = (noise - found)[1].view(10, 4, 3)
    assert (shift - shift[0, 0]).abs().max() < 1e-6  # moved as a whole


def test_noise_is_placed_in_sampling_as_in_training(made):
    _, adapter, denoiser = made
    noise = torch.randn(3, 7, adapter.values, generator=generator())
    everywhere = torch.ones(3, 7, dtype=torch.bool)
    all_of_it = everywhere[..., None].expand_as(noise)
    assert torch.equal(Drawing(denoiser).colour(noise), centred(noise, everywhere, all_of_it))
    assert torch.equal(Drawing(denoiser, whole=False).colour(noise), noise)


def test_noise_of_a_shorter_chain_does_not_depend_on_the_longer_ones(made):
    _, adapter, denoiser = made
    together, alone = Ragged(3, (5, 2), (40, 17)), Members(3, (2,))
    for _ in range(2):
        noise, own = together.normal((40, adapter.values)), alone.normal((17, adapter.values))
        assert torch.equal(noise[1, :17], own[0]) and not noise[1, 17:].any() and noise[0].all()
        placed = Drawing(denoiser).colour(noise)[1, :17]
        torch.testing.assert_close(placed, Drawing(denoiser).colour(own)[0])


def test_correlated_noise_has_unit_variance_and_the_correlation_asked_for():
    noise = correlated(torch.randn(20_000, 12, 3, generator=generator()), 0.9)
    covariance = torch.einsum("bic,bjc->ij", noise, noise) / (3 * len(noise))
    at = torch.arange(12)
    wanted = 0.9 ** (at[:, None] - at).abs()
    torch.testing.assert_close(covariance, wanted, atol=0.03, rtol=0)
    atoms = correlated(torch.randn(20_000, 3, 12, generator=generator()), 0.9).view(-1, 12, 3)
    covariance = torch.einsum("bic,bjc->ij", atoms, atoms) / (3 * len(atoms))
    torch.testing.assert_close(covariance, wanted ** (1 / 4), atol=0.03, rtol=0)


def test_correlated_noise_is_that_of_training_and_sampling(made):
    recipe = made[0]
    denoiser = build(domain, replace(recipe, correlation=0.9), seed=0).eval()
    batch = data(made, motifs=0.0).batch(2, generator())
    noise, t = torch.randn(batch.x.shape, generator=generator()), torch.full((2,), 0.5)
    plain = build(domain, recipe, seed=0).eval()
    own, other = (
        one.loss_at(one.encode(batch.cond, None), batch.x, batch.mask, t, noise)
        for one, noise in ((denoiser, noise), (plain, correlated(noise, 0.9)))
    )
    torch.testing.assert_close(own, other)
    drawn = Drawing(denoiser).colour(noise)
    torch.testing.assert_close(drawn, Drawing(plain).colour(correlated(noise, 0.9)))
    assert drawn.unflatten(2, (-1, 3)).mean((1, 2)).abs().max() < 1e-5


def test_padding_changes_nothing(made):
    _, adapter, denoiser = made
    x = adapter.encode(EXAMPLE.items[0])[None]
    count, t = x.shape[1], torch.tensor([0.3])
    present = torch.ones(1, count, dtype=torch.bool)
    cond = {"present": present, "secondary": torch.ones(1, count, dtype=torch.long)}
    wide = torch.cat([x, torch.randn(1, 9, adapter.values, generator=generator())], 1)
    pad = torch.zeros(1, 9, dtype=torch.bool)
    padded = {
        "present": torch.cat([present, pad], 1),
        "secondary": torch.cat([cond["secondary"], 0 * pad], 1),
    }
    with torch.no_grad():
        alone = denoiser(x, t, cond, present[..., None])
        together = denoiser(wide, t, padded, padded["present"][..., None])
    torch.testing.assert_close(together[:, :count], alone, atol=1e-4, rtol=1e-4)


def test_the_loss_of_a_chain_does_not_depend_on_the_rest_of_its_batch(made):
    _, _, denoiser = made
    denoiser.eval()
    batch = data(made, motifs=0.5).batch(6, generator())
    t, noise = torch.linspace(0.1, 0.9, 6), torch.randn(batch.x.shape, generator=generator(2))
    with torch.no_grad():
        whole = denoiser.loss_at(denoiser.encode(batch.cond, None), batch.x, batch.mask, t, noise)
        for i in range(6):
            count = int(batch.cond["present"][i].sum())
            one = {name: value[i : i + 1, :count] for name, value in batch.cond.items()}
            at = (slice(i, i + 1), slice(count))
            alone = denoiser.loss_at(
                denoiser.encode(one, None), batch.x[at], batch.mask[at], t[i : i + 1], noise[at]
            )
            torch.testing.assert_close(alone, whole[i : i + 1], atol=1e-3, rtol=1e-3)


def test_the_loss_of_coordinates_is_the_objectives(made):
    """With F = 0 the error of flow is that of the target ε − x, and other weights scale it."""
    recipe, _, _ = made
    plain = build(
        domain, replace(recipe, lddt=0.0, bonds=0.0, clashes=0.0, distogram=0.0), seed=0
    ).eval()  # F = 0
    batch = data(made, motifs=0.0).batch(3, generator())
    t, noise = torch.full((3,), 0.25), torch.randn(batch.x.shape, generator=generator(2))
    present = batch.cond["present"]
    own = centred(noise, present, present[..., None].expand_as(noise))
    found = plain.loss_at(plain.encode(batch.cond, None), batch.x, batch.mask, t, noise)
    there = present[..., None].expand_as(noise)
    wanted = [((e - x).square()[m]).mean() for e, x, m in zip(own, batch.x, there, strict=True)]
    torch.testing.assert_close(found, torch.stack(wanted))  # flow: F estimates ε − x
    recipe = replace(
        recipe,
        objective=replace(recipe.objective, weight="edm"),
        lddt=0.0,
        bonds=0.0,
        clashes=0.0,
        distogram=0.0,
    )
    other = build(domain, recipe, seed=0).eval()
    edm = other.loss_at(other.encode(batch.cond, None), batch.x, batch.mask, t, noise)
    torch.testing.assert_close(edm, found * (0.75**2 + 0.25**2))  # (α² + σ²)/σ² for 1/c_out² = 1/σ²


def test_estimates_keep_what_is_given(made):
    _, adapter, denoiser = made
    x = torch.randn(2, 20, adapter.values, generator=generator())
    mask = torch.ones(2, 20, 1, dtype=torch.bool)
    mask[:, 5:9] = False
    cond = {"present": torch.ones(2, 20, dtype=torch.bool), "secondary": torch.zeros(2, 20, dtype=torch.long)}
    found = denoiser(x, torch.full((2,), 0.5), cond, mask)
    assert torch.equal(found[:, 5:9], x[:, 5:9]) and not torch.equal(found, x)


def test_self_conditioning_is_trained_and_used(made):
    _, _, denoiser = made
    batch = data(made, motifs=0.0).batch(2, generator())
    denoiser.train()

    def losses():
        with torch.no_grad():
            return [float(denoiser.loss(batch, generator(seed)).sum()) for seed in range(12)]

    trained = losses()
    assert trained == losses()
    denoiser.eval()
    plain = losses()
    changed = sum(abs(a - b) > 1e-6 for a, b in zip(trained, plain, strict=True))
    assert 2 <= changed <= 10  # about half
    memory, t = Drawing(denoiser), torch.full((2,), 0.3)
    first, second = (memory(batch.x, t, batch.cond, batch.mask) for _ in range(2))
    assert torch.equal(first, denoiser(batch.x, t, batch.cond, batch.mask))
    assert torch.equal(second, denoiser(batch.x, t, batch.cond | {"estimate": first}, batch.mask))
    assert not torch.equal(first, second)
    early = torch.full((2,), 0.8)
    alone = denoiser(batch.x, early, batch.cond, batch.mask)
    assert torch.equal(memory(batch.x, early, batch.cond, batch.mask), alone)


def test_a_state_that_is_trained_on_may_be_a_step_of_a_sampler_from_a_noisier_one(made):
    recipe, _, denoiser = made
    plain = replace(recipe, lddt=0.0, bonds=0.0, clashes=0.0, distogram=0.0)
    own = build(domain, plain, seed=0).eval()
    own.load_state_dict(denoiser.state_dict())
    batch, t = data(made, motifs=0.3).batch(4, generator()), torch.tensor([0.1, 0.3, 0.6, 0.9])
    noise = torch.randn(batch.x.shape, generator=generator(1))
    drawn = batch.mask.expand_as(batch.x)
    with torch.no_grad():
        cond = batch.cond | {"step": torch.full((4,), 0.4)}
        found = own.loss_at(own.encode(cond, None), batch.x, batch.mask, t, noise)
        before, told = torch.tensor([0.1 / 0.6, 0.5, 0.6, 0.9]), torch.tensor([1.0, 1, 0, 0])
        noisier = own.path.corrupt(batch.x, before, centred(noise, batch.cond["present"], drawn))
        noisier = torch.where(drawn, noisier, batch.x)
        estimate = own(noisier, before, batch.cond, drawn)
        x_t = torch.where(drawn, own.path.step(noisier, estimate, before, t), batch.x)
        x_hat = own(x_t, t, batch.cond | {"estimate": estimate * told[:, None, None]}, drawn)
    error = ((x_hat - batch.x) / t[:, None, None]).square()  # flow: 1/c_out² = 1/σ²
    torch.testing.assert_close(found, own.mean(error, drawn, None), rtol=1e-4, atol=1e-4)


def seen(ca, present):
    points = ca[None]
    return surroundings(points, frames(points, present), present)


def test_what_a_residue_sees_nearby_does_not_turn_with_the_chain_but_tells_its_mirror_image():
    ca = torch.from_numpy(np.stack([one.ca[:40] for one in EXAMPLE.items[:2]]))
    present = torch.ones(2, 40, dtype=torch.bool)
    turns = rotations(2, generator())
    moved = torch.einsum("bij,bnj->bni", turns, ca) + 5
    torch.testing.assert_close(seen(moved, present), seen(ca, present), atol=1e-3, rtol=0)
    assert (seen(ca * torch.tensor([1.0, 1, -1]), present) - seen(ca, present)).abs().max() > 1
    axes = frames(ca[None], present)
    torch.testing.assert_close(axes.mT @ axes, torch.eye(3).expand(1, 2, 40, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(axes), torch.ones(1, 2, 40), atol=1e-5, rtol=0)
    inside = seen(ca, present).view(2, 40, -1, 3)[0, 4:13]  # of one arm: all residues see the same
    assert inside.std(0).max() < 0.5


def test_what_a_residue_sees_nearby_ends_where_the_chain_does():
    ca = torch.from_numpy(EXAMPLE.items[0].ca[None, :20])
    alone = torch.ones(1, 20, dtype=torch.bool)
    wide = torch.cat([ca, torch.randn(1, 6, 3, generator=generator())], 1)
    padded = torch.cat([alone, torch.zeros(1, 6, dtype=torch.bool)], 1)
    torch.testing.assert_close(seen(wide, padded)[:, :20], seen(ca, alone))
    near = seen(ca, alone).view(20, -1, 2, 3)  # one step, two steps, ...; to behind and to before
    for apart in range(1, near.shape[1] + 1):
        assert (near[-apart:, apart - 1, 0] == 0).all() and (near[:apart, apart - 1, 1] == 0).all()
        assert (near[:-apart, apart - 1, 0].norm(dim=-1) > 1).all()
    assert seen(ca[:, :4], alone[:, :4]).shape[-1] == seen(ca, alone).shape[-1]
    nothing = seen(torch.zeros_like(ca), alone)  # before there is an estimate
    assert (nothing == 0).all()


def test_the_frame_of_a_residue_is_that_of_its_own_atoms():
    atoms = torch.tensor([[0.0, 0, 0], [-1, 1, 0], [1, 1, 0], [2, 1, 0]])  # CA, N, C, O
    axes = peptide_frames(atoms[None, None])[0, 0]
    torch.testing.assert_close(axes, torch.eye(3))  # from N to C, and to the side where these lie
    turn = rotations(1, generator())[0]
    torch.testing.assert_close(peptide_frames((atoms @ turn.T)[None, None])[0, 0], turn)


def near(atoms, noisy, present, nearest=6):
    return neighbours.neighbourhood(noisy, atoms, present, nearest)


def test_who_is_near_is_seen_in_a_frame_that_turns_with_the_residue():
    chains = [one.coords[:40, [1, 0, 2, 3]] for one in EXAMPLE.items[:2]]
    atoms, present = torch.from_numpy(np.stack(chains)).float(), torch.ones(2, 40, dtype=torch.bool)
    atoms = atoms + 0.1 * torch.randn(atoms.shape, generator=generator(2))  # no two equally near
    noisy, turns = atoms + torch.randn(atoms.shape, generator=generator()), rotations(2, generator(1))
    axes, who, there, seen, apart = near(atoms, noisy, present)
    assert who.shape == (2, 40, 6) and there.all()
    away = torch.cdist(atoms[:, :, 0], atoms[:, :, 0])
    furthest = away.gather(2, who).amax(2)
    assert (((away <= furthest[..., None]).sum(2) - 1) == 6).all()  # beside itself, six: the nearest
    assert torch.equal(apart - neighbours.APART, who - torch.arange(40)[:, None])

    def moved(points):
        return torch.einsum("bij,bnaj->bnai", turns, points) + 5

    found = near(moved(atoms), moved(noisy), present)
    assert torch.equal(found[1], who)
    torch.testing.assert_close(found[3], seen, atol=2e-3, rtol=0)
    torch.testing.assert_close(found[0], turns[:, None] @ axes, atol=1e-4, rtol=0)
    first = seen[0, 0, 0, :3] * neighbours.UNIT  # of the nearest to the first: where its Cα lies
    torch.testing.assert_close(
        axes[0, 0] @ first, atoms[0, who[0, 0, 0], 0] - atoms[0, 0, 0], atol=1e-3, rtol=0
    )
    mirror = torch.tensor([1.0, 1, -1])
    assert (near(atoms * mirror, noisy * mirror, present)[3] - seen).abs().max() > 0.1


def test_who_is_near_is_never_padding():
    atoms = torch.from_numpy(EXAMPLE.items[0].coords[None, :5, [1, 0, 2, 3]]).float()
    wide = torch.cat([atoms, torch.zeros(1, 30, 4, 3)], 1)
    present = torch.arange(35)[None] < 5
    _, who, there, seen, _ = near(wide, wide, present)
    assert torch.equal(there.sum(2)[0], torch.tensor([4] * 5 + [0] * 30))
    assert (who[there] < 5).all() and seen.isfinite().all()


def test_coordinates_are_worked_on_in_full_under_autocast(made):
    _, _, denoiser = made
    batch = data(made, motifs=0.0).batch(2, generator())
    t = torch.full((2,), 0.05)
    x_t = denoiser.path.corrupt(batch.x, t, torch.randn(batch.x.shape, generator=generator()))
    with torch.no_grad():
        full = denoiser(x_t, t, batch.cond, batch.mask)
        with torch.autocast("cpu", torch.bfloat16):
            half = denoiser(x_t, t, batch.cond, batch.mask)
    assert half.dtype == torch.float32
    error = (half - full)[batch.cond["present"]].std() / (full - x_t)[batch.cond["present"]].std()
    assert error < 0.05


def test_a_turned_chain_is_denoised_alike_and_its_mirror_image_is_not(made):
    _, _, denoiser = made
    batch = data(made).batch(3, generator())
    turns = rotations(3, generator(2))
    noise = torch.randn(batch.x.shape, generator=generator(3))
    x_t = denoiser.path.corrupt(batch.x, torch.full((3,), 0.5), noise)

    def seen(by: torch.Tensor, backwards: torch.Tensor) -> torch.Tensor:
        cond = batch.cond | {"estimate": points(batch.x, by)}
        return points(denoiser(points(x_t, by), torch.full((3,), 0.5), cond, batch.mask), backwards)

    def points(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        return (x.unflatten(-1, (-1, 3)) @ by[:, None]).flatten(2)

    plain = seen(torch.eye(3).expand(3, 3, 3), torch.eye(3).expand(3, 3, 3))
    torch.testing.assert_close(seen(turns, turns.mT), plain, atol=1e-3, rtol=1e-3)
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0])).expand(3, 3, 3)
    assert (seen(mirror, mirror) - plain).abs().max() > 0.05


@pytest.mark.slow  # two minutes
def test_one_protein_is_learnt_by_heart():
    from benchmarks.proteins import by_heart

    assert max(by_heart(EXAMPLE.items[0], 8)) < 0.5


def test_conditions_reach_the_estimate(made):
    _, _, denoiser = made
    batch = data(made, motifs=0.0).batch(2, generator())
    t = torch.full((2,), 0.5)
    free = denoiser(batch.x, t, batch.cond, batch.mask)
    helix = batch.cond | {"secondary": torch.ones_like(batch.cond["secondary"])}
    assert (denoiser(batch.x, t, helix, batch.mask) - free).abs().max() > 1e-3


def test_points_have_no_order():
    recipe = replace(POINTS, network=SMALL)
    denoiser = build(domain, recipe, seed=0)
    for parameter in denoiser.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator(3))
    x = torch.randn(1, 30, 3, generator=generator())
    cond = {"present": torch.ones(1, 30, dtype=torch.bool), "secondary": torch.zeros(1, 30, dtype=torch.long)}
    order, t = torch.randperm(30, generator=generator()), torch.tensor([0.4])
    with torch.no_grad():
        torch.testing.assert_close(
            denoiser(x[:, order], t, cond), denoiser(x, t, cond)[:, order], atol=1e-4, rtol=1e-4
        )
    ordered = build(domain, replace(FLOW, atoms="ca", network=SMALL), seed=0)
    for parameter in ordered.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator(3))
    assert (ordered(x[:, order], t, cond) - ordered(x, t, cond)[:, order]).abs().max() > 1e-3


def test_large_clouds_are_thinned_and_scaled():
    rng = np.random.default_rng(0)
    clouds = Chains(tuple(Cloud(1000 + 50 * rng.normal(size=(n, 3))) for n in (20, 400, 5000)))
    recipe = replace(POINTS, network=SMALL, longest=64)
    raw = domain.dataset(clouds, "train", recipe)
    adapter = domain.adapter(recipe, raw)
    assert adapter.scale == pytest.approx(50, rel=0.1) and max(adapter.lengths) <= 64
    batch = domain.dataset(clouds, "train", recipe, adapter).batch(20, generator())
    assert batch.x.shape[1] <= 64
    there = batch.x[batch.cond["present"]]
    assert there.std() == pytest.approx(1, abs=0.15)
    assert domain.suited(recipe, raw).scale == POINTS.scale
    back = adapter.decode(adapter.encode(clouds.items[0]))
    assert back.points == pytest.approx(clouds.items[0].points, abs=1e-2)


def test_rotations_are_a_function_of_the_generator():
    assert torch.equal(rotations(3, generator()), rotations(3, generator()))
    assert not torch.equal(rotations(3, generator()), rotations(3, generator(1)))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"scale": 0.0}, "scale is 0"),
        ({"lengths": []}, "lengths must be"),
        ({"lengths": [3]}, "lengths must be of 4 to 1024"),
        ({"lengths": [50, 10**9]}, "lengths must be"),
        ({"atoms": "all"}, "atoms"),
        ({"more": 1}, "more: unknown key"),
    ],
)
def test_states_of_adapters_that_make_no_sense(fields, told):
    state = {"atoms": "ca", "scale": 9.0, "lengths": [40, 50]}
    assert restored(state) == ProteinAdapter("ca", 9.0, (40, 50))
    with pytest.raises(ValueError, match=told):
        restored(state | fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"bonds": 0.5}, "bonds, clashes, told, correlation and pieces must be 0"),
        ({"told": 0.5}, "bonds, clashes, told, correlation and pieces must be 0"),
        ({"correlation": 0.5}, "bonds, clashes, told, correlation and pieces must be 0"),
        ({"shortest": 300}, "shortest is 300, longest 256"),
        ({"scaling": "eps"}, "undefined on the path"),
    ],
)
def test_recipes_that_make_no_sense(fields, told):
    with pytest.raises(ValueError, match=told):
        build(domain, replace(POINTS, **fields), seed=0)


def test_data_that_are_not_there(monkeypatch):
    monkeypatch.delenv("ZOO_DATA", raising=False)
    with pytest.raises(DataError, match="set ZOO_DATA to the folder that holds proteins/"):
        domain.dataset(None, "train", FLOW)
    with pytest.raises(DataError, match="no data of its own: give clouds"):
        domain.dataset(None, "train", POINTS)
    with pytest.raises(DataError, match="not a Cloud"):
        domain.dataset([Cloud(np.ones((50, 3)))], "train", FLOW)
    with pytest.raises(DataError, match="not a Backbone"):
        domain.dataset(EXAMPLE, "train", POINTS)
    with pytest.raises(DataError, match="do not have at least 200"):
        domain.dataset(EXAMPLE, "train", replace(FLOW, shortest=200, longest=300))


def test_the_spread_is_that_of_alpha_carbons_about_their_middle():
    chain = Backbone(np.tile(np.array([[1.0, 0, 0], [-1, 0, 0]])[:, None], (1, 4, 1)))
    assert spread([chain]) == pytest.approx((1 / 3) ** 0.5)


def test_what_was_left_out_is_told_in_training(made):
    recipe, adapter, _ = made
    chains = replace(EXAMPLE, notes=("a.pdb: cut",))
    with pytest.warns(UserWarning, match=r"left out or cut \(1\): a.pdb: cut"):
        domain.dataset(chains, "train", recipe, adapter)
