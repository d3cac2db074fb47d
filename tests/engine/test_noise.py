import subprocess
import sys

import pytest
import torch

from zoo.engine import Members


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 8)])
def test_a_member_draws_the_same_whatever_its_company(shape):
    together = Members(3, range(20))
    draws = [together.normal(shape), together.normal(shape)]
    for i in (0, 7, 19):
        alone = Members(3, [i])
        assert all(torch.equal(alone.normal(shape)[0], draw[i]) for draw in draws)
    reversed_half = Members(3, range(9, -1, -1))
    assert torch.equal(reversed_half.normal(shape).flip(0), draws[0][:10])


def test_another_process_draws_the_same():
    code = "from zoo.engine import Members; print(Members(5, [11]).normal((2,)).tolist())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(Members(5, [11]).normal((2,)).tolist())


def test_global_random_state_plays_no_part():
    torch.manual_seed(0)
    a = Members(0, range(3)).normal((4,))
    torch.manual_seed(1)
    assert torch.equal(a, Members(0, range(3)).normal((4,)))


def test_streams_are_independent_unit_gaussians():
    """Over members, over successive calls and over seeds: no correlation beyond 4.5 standard errors."""
    n = 4096
    first, other = Members(0, range(n)), Members(1, range(n))
    draws = torch.cat([first.normal((3,)), first.normal((2,)), other.normal((3,))], 1)
    bound = 4.5 / n**0.5
    assert draws.mean(0).abs().max() < bound
    correlation = torch.corrcoef(torch.cat([draws, draws.roll(1, 0)], 1).T)
    assert (correlation - torch.eye(16)).abs().max() < bound
    assert (draws.var(0) - 1).abs().max() < bound * 2**0.5
    assert len(draws.unique(dim=0)) == n


def test_an_index_that_has_no_stream_is_refused():
    with pytest.raises(ValueError, match="member indices"):
        Members(0, [-1])
