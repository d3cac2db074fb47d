import pytest
import torch

from zoo.engine import GRIDS, PATHS, Linear, VarianceExploding, grid


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("path_name", sorted(PATHS))
@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
def test_grids_fall_from_noise_to_data(path_name, kind, steps):
    times = grid(PATHS[path_name](), steps, kind)
    assert times.shape == (steps + 1,) and times[0] == 1 and times[-1] == 0
    assert (times.diff() < 0).all()


def test_grids_space_the_levels_as_they_say():
    for path in (make() for make in PATHS.values()):
        log_snr = path.log_snr(grid(path, 30, "logsnr"))[1:-1]
        torch.testing.assert_close(log_snr.diff(), log_snr.diff()[:1].expand(28))
        root = torch.exp(-path.log_snr(grid(path, 30, "rho"))[1:-1] / 7)
        torch.testing.assert_close(root.diff(), root.diff()[:1].expand(28))
    shifted = grid(Linear(), 10, "shifted")
    odds = (shifted / (1 - shifted))[1:-1]
    uniform = grid(Linear(), 10, "uniform")[1:-1]
    torch.testing.assert_close(odds, 3 * uniform / (1 - uniform))


def test_rho_is_edms_grid():
    """Karras et al. 2022, eq. 5, which is also how the VE path runs."""
    path = VarianceExploding()
    torch.testing.assert_close(grid(path, 18, "rho"), grid(path, 18, "uniform"))
