"""The networks: shapes, sizes, conditions, the identity at the start."""

from dataclasses import replace

import pytest
import torch

from domains.images.backbone import SIZES, DiTSize, UNetSize, folded, network, unfolded
from domains.images.gallery import Gallery

SMALL = {
    "unet": UNetSize(patch=2, widths=(16, 32), depths=(1, 1), attention=(False, True), condition=16),
    "dit": DiTSize(width=32, depth=2, condition=16),
}
LIMITS = {"tiny": 2e6, "small": 10e6, "base": 40e6}


@pytest.mark.parametrize("name", SIZES)
def test_named_sizes_keep_what_they_promise(name):
    with torch.device("meta"):
        count = sum(p.numel() for p in network(SIZES[name], 3, 10).parameters())
    limit = LIMITS[name.rpartition("-")[2]]
    assert 0.6 * limit < count <= limit


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (1, 16)])
def test_networks_keep_the_shape_and_read_all_conditions(kind, channels, size):
    torch.manual_seed(0)
    net = network(SMALL[kind], channels, 10)
    torch.nn.init.normal_(net.out.weight)
    x, noise = torch.randn(4, channels, size, size), torch.rand(4)
    label = {"label": torch.tensor([0, 1, 2, 10])}
    for parameter in net.parameters():  # blocks begin as the identity
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    out = net(x, noise, label, None)
    assert out.shape == x.shape
    mask = torch.ones(1, 1, size, size, dtype=torch.bool)
    mask[..., : size // 2] = False
    for changed in (
        net(x, 1 - noise, label, None),
        net(x, noise, {"label": torch.tensor([3, 1, 2, 10])}, None)[:1],
        net(x, noise, label, mask),
    ):
        assert not torch.allclose(changed, out[: len(changed)])
    torch.testing.assert_close(
        net(x[1:2], noise[1:2], {"label": torch.tensor([1])}, None), out[1:2], atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize("kind", SMALL)
def test_a_sequence_of_vectors_may_join_the_condition(kind):
    torch.manual_seed(0)
    make = {"unet": "UNet", "dit": "DiT"}[kind]
    from domains.images import backbone

    net = getattr(backbone, make)(SMALL[kind], 1, 10, context=12)
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    x, noise, label = torch.randn(2, 1, 16, 16), torch.rand(2), torch.tensor([1, 2])
    a, b = (net(x, noise, {"label": label, "context": torch.randn(2, t, 12)}, None) for t in (3, 5))
    assert a.shape == x.shape and not torch.allclose(a, b)


def test_folding_is_undone():
    x = torch.randn(2, 3, 12, 8)
    assert folded(x, 4).shape == (2, 48, 3, 2)
    assert torch.equal(unfolded(folded(x, 4), 4), x)


def test_levels_must_agree():
    with pytest.raises(ValueError, match="an entry for each level"):
        network(replace(SMALL["unet"], depths=(1,)), 1, 10)


def test_gallery_is_a_sequence_of_pictures(tmp_path):
    pixels = torch.arange(5 * 3 * 4 * 6).reshape(5, 3, 4, 6).byte().numpy()
    gallery = Gallery(pixels, list("abcde"))
    assert len(gallery) == 5 and gallery[1].size == (6, 4) and gallery[1:3].labels == ("b", "c")
    sheet = gallery.sheet(columns=3, zoom=1)
    assert sheet.size == (3 * 8 - 2, 2 * 6 - 2)
    assert sheet.getpixel((8, 0)) == tuple(pixels[1, :, 0, 0])
    assert [path.name for path in gallery.save(tmp_path / "out")][:2] == ["00000.png", "00001.png"]
    from PIL import Image

    assert Image.open(tmp_path / "out" / "00003.png").getpixel((5, 2)) == tuple(pixels[3, :, 2, 5])
