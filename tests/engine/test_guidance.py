import pytest
import torch

from tests.engine.exact import Exact, gaussian
from zoo.engine import (
    Autoguidance,
    ClassifierFree,
    Denoiser,
    Encoded,
    Linear,
    Members,
    VarianceExploding,
    sample,
)

T = torch.tensor([0.2, 0.5, 0.9])
X = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
MEANS = torch.tensor([-1.0, 1.0, 0.0])  # of class 0, of class 1, of "none"


class Labelled(Denoiser):
    """A Gaussian about the mean of the label, as rows; label 2 means none. Counts its calls and rows."""

    def __init__(self, std: float = 0.5, scale: float = 1.0):
        super().__init__()
        self.inner, self.scale = gaussian(Linear(), 0.0, std), scale
        self.path, self.calls, self.encoded = self.inner.path, [], 0

    def encode(self, cond, mask):
        self.encoded += 1
        return Encoded({"mean": MEANS[cond["label"]]}, scale=self.scale)

    def forward(self, x_t, t, cond, mask=None):
        self.calls.append(len(x_t))
        alpha = (1 - t)[:, None]
        mean = cond["mean"][:, None]
        return mean + self.inner(x_t - alpha * mean, t, {})


def cond(label: int) -> dict[str, torch.Tensor]:
    return {"label": torch.full((3,), label)}


def ask(denoiser: Denoiser, label: int = 1, t: torch.Tensor = T) -> torch.Tensor:
    return denoiser(X, t, denoiser.encode(cond(label), None).cond)


NULL = {"label": torch.tensor([2])}


def test_classifier_free_extrapolates_from_the_unconditional_estimate_in_one_call():
    plain = Labelled()
    x_1, x_none = ask(plain), ask(plain, 2)
    for weight in (0.0, 1.0, 3.0):
        inner = Labelled()
        torch.testing.assert_close(ask(ClassifierFree(inner, weight, NULL)), x_none + weight * (x_1 - x_none))
        assert inner.calls == [6]


def test_guidance_acts_inside_its_interval_alone_and_costs_nothing_outside():
    plain, inner = Labelled(), Labelled()
    guided = ClassifierFree(inner, 3.0, NULL, (0.4, 0.6))
    x_1, x_none = ask(plain), ask(plain, 2)
    expected = torch.stack([x_1[0], (x_none + 3 * (x_1 - x_none))[1], x_1[2]])
    torch.testing.assert_close(ask(guided), expected)
    torch.testing.assert_close(ask(guided, t=T.new_full((3,), 0.9)), ask(plain, t=T.new_full((3,), 0.9)))
    assert inner.calls == [6, 3]


def test_conditions_are_encoded_once_and_evaluations_counted_as_rows():
    inner = Labelled()
    guided = ClassifierFree(inner, 2.0, NULL, (0.0, 0.5))
    label = {"label": torch.tensor([0, 1])}
    samples = sample(
        guided, Members(0, range(6)), (2,), cond=label, steps=10, grid="uniform", sampler="euler"
    )
    assert inner.encoded == 2  # with and without the label
    assert samples.evaluations == 5 + 2 * 5  # guided at t = 0.5, 0.4, ..., 0.1
    assert (samples.x[:3].mean(), samples.x[3:].mean()) == (
        pytest.approx(-1, abs=0.8),
        pytest.approx(1, abs=0.8),
    )


def test_samples_move_away_from_the_unconditional_mean_as_in_closed_form():
    """With equal variances, guidance is a Gaussian at mean_none + w (mean − mean_none)."""
    for weight in (1.0, 2.5):
        guided = ClassifierFree(Labelled(), weight, NULL)
        x = sample(guided, Members(0, range(2000)), (2,), cond={"label": torch.tensor([1])}, steps=40).x
        assert abs(x.mean().item() - weight) < 0.03 and abs(x.std().item() - 0.5) < 0.03


def test_autoguidance_extrapolates_from_the_worse_model_under_the_same_condition():
    good, bad = Labelled(0.5), Labelled(0.9)
    guided = Autoguidance(good, bad, 2.0, (0.4, 1.0))
    x_good, x_bad = ask(good), ask(bad)
    expected = torch.stack([x_good[0], *(2 * x_good - x_bad)[1:]])
    torch.testing.assert_close(ask(guided), expected)


def test_guides_nest():
    """Classifier-free guidance of an autoguided denoiser: each keeps its own conditions apart."""
    good, bad = Labelled(0.5), Labelled(0.9)
    both = ClassifierFree(Autoguidance(good, bad, 2.0), 3.0, NULL)
    sharp, none = (2 * ask(good, k) - ask(bad, k) for k in (1, 2))
    torch.testing.assert_close(ask(both), none + 3 * (sharp - none))
    samples = sample(both, Members(0, range(4)), (2,), cond={"label": torch.tensor([1])}, steps=5)
    assert samples.evaluations == 20


def test_masks_follow_the_rows():
    seen = []

    class Masked(Labelled):
        def forward(self, x_t, t, cond, mask=None):
            seen.append(mask)
            return super().forward(x_t, t, cond, mask)

    mask = torch.tensor([[True, False]])
    guided = ClassifierFree(Masked(), 2.0, NULL)
    guided(X, T, guided.encode(cond(1), mask).cond, mask)
    assert torch.equal(seen[0], mask.expand(6, 2))


def test_bad_guidance_is_refused():
    with pytest.raises(ValueError, match="low < high"):
        ClassifierFree(Labelled(), 2.0, NULL, (0.7, 0.2))
    with pytest.raises(ValueError, match=r"replaces the conditions \['label'\]"):
        ClassifierFree(Labelled(), 2.0, NULL).encode({}, None)
    with pytest.raises(ValueError, match="one path"):
        Autoguidance(Labelled(), gaussian(VarianceExploding()), 2.0)
    with pytest.raises(ValueError, match="standardise x differently"):
        Autoguidance(Labelled(), Labelled(scale=2.0), 2.0).encode(cond(1), None)


def test_an_exact_model_guided_by_itself_is_itself():
    exact: Exact = gaussian(Linear())
    torch.testing.assert_close(Autoguidance(exact, exact, 5.0)(X, T, {}), exact(X, T, {}))


@pytest.mark.parametrize("n", [1, 3])
def test_one_time_for_all_is_guided_as_each_its_own(n):
    seen = []

    class Noting(Labelled):
        def forward(self, x_t, t, cond, mask=None):
            seen.append(t)
            return super().forward(x_t, t, cond, mask)

    guided = ClassifierFree(Noting(), 2.0, NULL)
    encoded = guided.encode({"label": torch.full((n,), 1)}, None).cond
    alike = torch.tensor([0.3]).expand(n)
    assert torch.equal(guided(X[:n], alike, encoded), guided(X[:n], alike.clone(), encoded))
    assert seen[0].shape == (2 * n,) and seen[0].stride(0) == 0  # so that its value can be had for nothing
