import pytest
import torch
from torch import nn

from tests.engine.exact import Wrapped, gaussian, mixture
from zoo.engine import (
    PATHS,
    SCALINGS,
    Batch,
    Encoded,
    Encoder,
    Linear,
    LogitNormal,
    NetworkDenoiser,
    Objective,
    adams3,
    expand,
    grid,
    repeat,
)

SHAPE = (4, 3, 5, 5)
COMBINATIONS = [(p, s) for p in sorted(PATHS) for s in SCALINGS if s != "eps" or p == "ve"]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Head(nn.Module):
    """A network with weights, for images or rows of three features, that records what it is given."""

    def __init__(self):
        super().__init__()
        self.mix, self.seen = nn.Linear(3, 3, dtype=torch.float64), []

    def forward(self, x, c_noise, cond, mask):
        self.seen.append((x, c_noise, cond, mask))
        shift = cond.get("shift", 0.0)
        return self.mix(x.movedim(1, -1)).movedim(-1, 1) * (1 + expand(c_noise, x)) + shift


class Centre(Encoder):
    """Standardises x by a learned centre and a given scale, and counts its calls."""

    def __init__(self):
        super().__init__()
        self.centre, self.calls = nn.Parameter(torch.tensor(0.7, dtype=torch.float64)), 0

    def forward(self, cond, mask):
        self.calls += 1
        shift = self.centre * cond["history"].mean(1, keepdim=True)
        return Encoded({"shift": shift}, loc=shift, scale=cond["history"].std(1, keepdim=True))

    def loss(self, encoded, x, mask):
        return ((x - encoded.loc) ** 2).mean(1)


@pytest.mark.parametrize(("path_name", "scaling"), COMBINATIONS)
def test_one_time_for_all_is_the_same_as_each_its_own(path_name, scaling):
    head, x = Head(), normal(*SHAPE)
    denoiser = NetworkDenoiser(head, PATHS[path_name](), scaling, Objective())
    for level in (0.3, 0.999):
        alike = torch.full((1,), level, dtype=torch.float64).expand(4)
        each = denoiser(x, alike.clone(), {})
        for mode in (torch.inference_mode, torch.no_grad):  # what is kept of it must serve outside as well
            with mode():
                torch.testing.assert_close(denoiser(x, alike, {}), each, rtol=1e-13, atol=1e-13)
            assert torch.equal(head.seen[-1][1], head.seen[0][1])
        head.seen.clear()
    denoiser(x, alike, {}).sum().backward()
    assert head.mix.weight.grad is not None


@pytest.mark.parametrize(("path_name", "scaling"), COMBINATIONS)
def test_every_scaling_turns_its_target_into_the_data(path_name, scaling):
    """With x image-shaped and t of shape (B,): a wrong broadcast of t would mix channels or items."""
    path = PATHS[path_name]()
    x, noise, t = normal(*SHAPE), normal(*SHAPE, seed=1), torch.tensor([0.1, 0.4, 0.7, 1.0]).double()
    x_t = path.corrupt(x, t, noise)
    alpha, sigma = path.scales(expand(t, x))
    c_in, c_skip, c_out = SCALINGS[scaling](alpha, sigma)
    target = {
        "x0": x,
        "eps": noise,
        "v": alpha * noise - sigma * x,
        "flow": noise - x,
        "edm": (sigma * x - alpha * noise) / (alpha**2 + sigma**2) ** 0.5,
    }[scaling]
    torch.testing.assert_close(c_skip * x_t + c_out * target, x)
    torch.testing.assert_close((c_in * alpha) ** 2 + (c_in * sigma) ** 2, torch.ones_like(alpha))


@pytest.mark.parametrize("path_name", ["linear", "cosine"])
def test_predicting_noise_from_pure_noise_is_refused_with_the_reason(path_name):
    with pytest.raises(ValueError, match=r"α = 0 at t = 1"):
        NetworkDenoiser(Head(), PATHS[path_name](), "eps", Objective())


def test_an_unknown_scaling_is_refused():
    with pytest.raises(ValueError, match="choose from x0"):
        NetworkDenoiser(Head(), Linear(), "velocity", Objective())


@pytest.mark.parametrize(("path_name", "scaling"), COMBINATIONS)
def test_parametrisations_and_paths_of_one_model_give_equal_answers(path_name, scaling):
    """The same posterior mean through every scaling, and at equal α/σ on every path."""
    path = PATHS[path_name]()
    exact = mixture(path)
    denoiser = NetworkDenoiser(Wrapped(exact, SCALINGS[scaling], path), path, scaling, Objective())
    log_snr = torch.tensor([-3.0, -1.0, 0.5, 3.0]).double()
    t, linear = path.time(log_snr), Linear()
    x, noise = exact.draw(4, 0), normal(4, 2)
    x_hat = denoiser(path.corrupt(x, t, noise), t, {})
    torch.testing.assert_close(x_hat, exact(path.corrupt(x, t, noise), t, {}), rtol=1e-6, atol=1e-9)
    on_linear = mixture(linear)(linear.corrupt(x, linear.time(log_snr), noise), linear.time(log_snr), {})
    torch.testing.assert_close(x_hat, on_linear, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("path_name", "scaling"), [c for c in COMBINATIONS if c[0] != "ve"])
def test_samples_do_not_depend_on_path_or_parametrisation(path_name, scaling):
    path = PATHS[path_name]()
    denoiser = NetworkDenoiser(Wrapped(mixture(path), SCALINGS[scaling], path), path, scaling, Objective())
    noise = normal(64, 2)
    *_, goal = adams3(mixture(Linear()), noise, grid(Linear(), 12), cond={})
    *_, x = adams3(denoiser, noise, grid(path, 12), cond={})
    assert (x - goal).abs().max().item() < 1e-6


def test_the_network_sees_unit_variance_the_noise_level_and_given_values_as_they_are():
    path, head = PATHS["ve"](), Head()
    denoiser = NetworkDenoiser(head, path, "edm", Objective())
    mask = torch.tensor([True, True, False])[:, None, None]
    t = torch.tensor([0.0, 0.3, 0.9, 1.0]).double()
    x_t = path.corrupt(normal(*SHAPE), t, normal(*SHAPE, seed=1))
    denoiser(x_t, t, {}, mask)
    seen, c_noise, _, _ = head.seen[0]
    assert torch.equal(seen[:, 2], x_t[:, 2])
    assert (seen[:, :2].std() - 1).abs() < 0.15
    torch.testing.assert_close(torch.tan(c_noise * torch.pi / 2), path.scales(t)[1])


def test_the_plain_loss_is_the_networks_own_squared_error():
    head, path = Head(), Linear()
    denoiser = NetworkDenoiser(head, path, "flow", Objective())
    x, noise, t = normal(*SHAPE), normal(*SHAPE, seed=1), torch.tensor([0.1, 0.4, 0.7, 0.9]).double()
    loss = denoiser.loss_at(Encoded({}), x, None, t, noise)
    x_t = path.corrupt(x, t, noise)
    c_in = torch.hypot(*path.scales(expand(t, x))).reciprocal()
    own = head(c_in * x_t, torch.atan2(t, 1 - t) * 2 / torch.pi, {}, None)
    torch.testing.assert_close(loss, ((own - (noise - x)) ** 2).flatten(1).mean(1))


def test_training_noise_has_the_denoisers_colour():
    def colour(noise):
        return noise.cumsum(-1)

    x, noise, t, head = normal(*SHAPE), normal(*SHAPE, seed=1), torch.full((4,), 0.4).double(), Head()
    losses = [
        NetworkDenoiser(head, Linear(), "flow", Objective(), colour=c).loss_at(Encoded({}), x, None, t, n)
        for c, n in ((colour, noise), (None, colour(noise)), (None, noise))
    ]
    assert torch.equal(losses[0], losses[1])
    assert not torch.allclose(losses[0], losses[2])


@pytest.mark.parametrize(
    ("weight", "formula"),
    [("min-snr", lambda a, s: torch.clamp((a / s) ** 2, max=5.0)), ("edm", lambda a, s: 1 / s**2 + 1)],
)
def test_weights_of_the_data_loss(weight, formula):
    """On the VE path, α = 1, where Karras et al. give (σ² + 1)/σ² and Hang et al. min(1/σ², 5)."""
    path = PATHS["ve"]()
    denoiser = NetworkDenoiser(Head(), path, "x0", Objective(weight=weight))
    x, noise, t = normal(*SHAPE), normal(*SHAPE, seed=1), torch.tensor([0.1, 0.3, 0.5, 0.8]).double()
    error = (denoiser(path.corrupt(x, t, noise), t, {}) - x).square().flatten(1).mean(1)
    expected = formula(*path.scales(t)) * error
    torch.testing.assert_close(denoiser.loss_at(Encoded({}), x, None, t, noise), expected)


def test_given_values_are_neither_noised_nor_learned():
    head = Head()
    denoiser = NetworkDenoiser(head, Linear(), "flow", Objective())
    x, t = normal(*SHAPE), torch.full((4,), 0.8).double()
    mask = torch.zeros(1, 3, 5, 5, dtype=torch.bool)
    mask[:, :2, :2] = True
    loss = denoiser.loss_at(Encoded({}), x, mask, t, normal(*SHAPE, seed=1))
    seen = head.seen[0][0]
    assert torch.equal(seen.where(~mask, 0), x.where(~mask, 0))
    elsewhere = denoiser.loss_at(Encoded({}), x, mask, t, normal(*SHAPE, seed=1) + 5 * ~mask)
    torch.testing.assert_close(loss, elsewhere)
    path, noise = Linear(), normal(*SHAPE, seed=1)
    x_t = torch.where(mask, path.corrupt(x, t, noise), x)
    error = ((denoiser(x_t, t, {}, mask) - x) / 0.8) ** 2
    torch.testing.assert_close(loss, error[mask.expand(SHAPE)].view(4, -1).mean(1))


def test_the_encoder_runs_once_and_only_its_own_loss_moves_the_standardisation():
    encoder = Centre()
    objective = Objective(time=LogitNormal(), repeats=6)
    denoiser = NetworkDenoiser(Head(), Linear(), "flow", objective, encoder)
    batch = Batch(normal(4, 3), {"history": normal(4, 7, seed=1)})
    generator = torch.Generator().manual_seed(0)
    loss = denoiser.loss(batch, generator)
    assert encoder.calls == 1 and loss.shape == (4,) and len(denoiser.network.seen[0][0]) == 24

    generator.manual_seed(0)
    encoded = encoder(batch.cond, None)
    own = encoder.loss(encoded, batch.x, None)
    by_hand = Encoded({"shift": encoded.cond["shift"]}, encoded.loc.detach(), encoded.scale)
    t = objective.draw(24, Linear(), generator).double().view(6, 4).T.flatten()
    noise = torch.randn(24, 3, generator=generator).double()
    diffusion = denoiser.loss_at(by_hand.repeat(24), repeat(batch.x, 24), None, t, noise)
    torch.testing.assert_close(loss, diffusion.view(4, 6).mean(1) + own)
    gradients = [
        torch.autograd.grad(v.sum(), encoder.centre)[0] for v in (loss, diffusion.view(4, 6).mean(1) + own)
    ]
    torch.testing.assert_close(*gradients)


def test_the_loss_is_least_at_the_posterior_mean():
    """The best affine denoiser of Gaussian data, fitted to the loss, is E[x | x_t] in closed form."""

    class Line(nn.Module):
        def __init__(self):
            super().__init__()
            self.k = nn.Parameter(torch.zeros(2, dtype=torch.float64))

        def forward(self, x, c_noise, cond, mask):
            return self.k[0] + self.k[1] * x

    path, exact, t = Linear(), gaussian(Linear(), dim=1), torch.full((8192,), 0.5).double()
    denoiser = NetworkDenoiser(Line(), path, "flow", Objective())
    optimiser = torch.optim.LBFGS(denoiser.parameters())

    def closure():
        optimiser.zero_grad()
        loss = denoiser.loss_at(Encoded({}), exact.draw(8192, 0), None, t, normal(8192, 1)).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    x_t = torch.tensor([[-1.0], [0.0], [1.0]]).double()
    torch.testing.assert_close(denoiser(x_t, t[:3], {}), exact(x_t, t[:3], {}), rtol=0, atol=0.02)


def test_repeat_shares_rows_evenly():
    assert repeat(torch.arange(3), 6).tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="7 rows cannot be shared evenly among 3"):
        repeat(torch.arange(3), 7)


def test_misshapen_parts_are_refused():
    with pytest.raises(ValueError, match="does not fit x"):
        Batch(normal(*SHAPE), {}, torch.ones(4, 3, dtype=torch.bool))

    class Flat(nn.Module):
        def forward(self, x, c_noise, cond, mask):
            return x.mean(1, keepdim=True)

    with pytest.raises(ValueError, match=r"must keep the shape \(4, 3, 5, 5\), not make"):
        NetworkDenoiser(Flat(), Linear(), "v", Objective())(normal(*SHAPE), torch.rand(4).double(), {})


def test_what_has_no_weight_is_seen_like_the_rest_and_does_not_count():
    """Unknown values are noised as any others; whatever they are, the loss is the mean of the others."""
    x, t, noise = normal(*SHAPE), torch.full((4,), 0.4), normal(*SHAPE, seed=1)
    weight = torch.ones(1, 3, 5, 5)
    weight[:, :, 3:] = 0
    head = Head()
    denoiser = NetworkDenoiser(head, Linear(), "x0", Objective())
    loss = denoiser.loss_at(Encoded({}), x, None, t, noise, weight)
    seen = denoiser.path.corrupt(x, t, noise)
    torch.testing.assert_close(head.seen[-1][0], seen / torch.hypot(torch.tensor(0.6), torch.tensor(0.4)))
    error = ((denoiser(seen, t, {}) - x) ** 2)[:, :, :3]
    torch.testing.assert_close(loss, error.flatten(1).mean(1))
    whatever = Batch(x.where(weight > 0, 50.0), {}, weight=weight)
    losses = [
        denoiser.loss(batch, torch.Generator().manual_seed(0))
        for batch in (Batch(x, {}, weight=weight), whatever)
    ]
    torch.testing.assert_close(*losses)
    with pytest.raises(ValueError, match="a weight of shape"):
        Batch(x, {}, weight=torch.ones(4, 3))
