"""The verbs on a model that has hardly learned: what must hold whatever the weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import binary_dilation

import zoo
from domains.images import domain
from domains.images.augment import MOVED, ZOOMED, augmented
from domains.images.backbone import DiTSize, UNetSize
from domains.images.data import read
from domains.images.pictures import Framing, Pictures
from domains.images.recipes import EDM, FLOW
from zoo.cli import main
from zoo.errors import DataError, OptionError

TINY = UNetSize(patch=2, widths=(16, 32), depths=(1, 1), attention=(False, True), condition=32)


TINY_DIT = DiTSize(width=32, depth=2, condition=32)


@pytest.fixture(
    scope="module", params=[(EDM, TINY), (FLOW, TINY), (EDM, TINY_DIT)], ids=["edm", "flow", "dit"]
)
def model(request):
    recipe, network = request.param
    brief = replace(recipe.training, steps=60, batch_size=16, validation_batches=1, validate_every=60)
    small = replace(recipe, network=network, training=brief)
    return zoo.train(domain, domain.example(), recipe=small, device="cpu", show=False)


def replaced(model, **fields):
    """A copy of a model with other fields of its recipe."""
    other = model.copy()
    other.recipe = replace(model.recipe, **fields)
    return other


@pytest.fixture
def image():
    return Image.fromarray(domain.example().pixels[3, 0])


def test_members_depend_on_seed_and_index_alone(model):
    many, few = (model.sample(n, label="disc", seed=3, steps=4).pixels.astype(int) for n in (6, 3))
    assert np.abs(many[:3] - few).max() <= 1
    assert np.abs(model.sample(3, label="disc", seed=4, steps=4).pixels.astype(int) - few).max() > 10


def test_labels_by_name_index_list_or_none(model):
    by_name = model.sample(2, label="disc", steps=3)
    assert by_name.labels == ("disc", "disc")
    assert np.array_equal(by_name.pixels, model.sample(2, label=1, steps=3).pixels)
    mixed = model.sample(2, label=["square", None], steps=3)
    assert mixed.labels == ("square", "")
    assert not np.array_equal(mixed.pixels, by_name.pixels)
    for label, told in (("triangle", "no class 'triangle'; there are: square, disc"), (2, "no class 2")):
        with pytest.raises(OptionError, match=told):
            model.sample(1, label=label)
    with pytest.raises(OptionError, match="2 labels for 3 images"):
        model.sample(3, label=[0, 1])


def test_guidance_by_default_is_the_recipes(model):
    own, one, three = (model.sample(2, label=0, guidance=w, steps=3).pixels for w in (None, 1.0, 3.0))
    recipe = model.recipe.sampling.guidance
    assert np.array_equal(own, model.sample(2, label=0, guidance=recipe, steps=3).pixels)
    assert not np.array_equal(own, one) and not np.array_equal(one, three)
    never = replaced(model, drop=0.0).sample(2, label=0, steps=3).pixels  # cannot be guided: it draws without
    assert np.array_equal(never, one)


def test_inpainting_keeps_the_known_pixels(model, image):
    hidden = np.zeros((28, 28), bool)
    hidden[10:20, 5:15] = True
    drawn = model.inpaint(image, hidden, 3, steps=4)
    given = np.asarray(image)
    assert (drawn.pixels[:, 0][:, ~hidden] == given[~hidden]).all()
    assert np.ptp(drawn.pixels[:, 0][:, hidden].astype(int), axis=0).max() > 5
    as_image = model.inpaint(image, Image.fromarray(hidden.astype(np.uint8) * 255), 3, steps=4)
    assert np.array_equal(as_image.pixels, drawn.pixels)
    clear = Image.fromarray(np.dstack([hidden * 255] * 3 + [np.full((28, 28), 255)]).astype(np.uint8), "RGBA")
    assert np.array_equal(model.inpaint(image, clear, 3, steps=4).pixels, drawn.pixels)
    for mask, told in ((np.zeros((28, 28)), "hides nothing"), (np.ones((2, 5, 5)), r"\(H, W\) are wanted")):
        with pytest.raises(OptionError, match=told):
            model.inpaint(image, mask)


def test_edits_go_from_the_image_to_anything(model, image):
    given = np.asarray(image).astype(int)
    assert np.array_equal(model.edit(image, 0.0, 2).pixels[1, 0], given)
    away = [np.abs(model.edit(image, s, 4, steps=8).pixels[:, 0] - given).mean() for s in (0.05, 0.4, 1.0)]
    assert away[0] < away[1] < away[2]
    with pytest.raises(OptionError, match="strength"):
        model.edit(image, 1.5)


def test_enlarged_images_have_the_means_of_the_small_one(model, image):
    small = image.resize((14, 14), Image.Resampling.BOX)
    drawn = model.upscale(small, 2, 3, steps=6)
    means = drawn.pixels.reshape(3, 14, 2, 14, 2).mean((2, 4))
    assert np.abs(means - np.asarray(small)).max() <= 1
    with pytest.raises(OptionError, match="factor must be 2 or 4 or 7 here, not 3"):
        model.upscale(small, 3)


@pytest.mark.parametrize("kind", ["large", "float", "file"])
def test_a_mask_is_framed_as_the_image_is(model, image, kind, tmp_path):
    hidden = np.zeros((28, 28), bool)
    hidden[10:20, 5:15] = True
    wanted = model.inpaint(image, hidden, steps=3).pixels
    mask = {"large": hidden.repeat(3, 0).repeat(3, 1), "float": hidden * 255.0, "file": tmp_path / "mask.png"}
    Image.fromarray(hidden).save(tmp_path / "mask.png")
    assert np.array_equal(model.inpaint(image, mask[kind], steps=3).pixels, wanted)


def test_what_a_mask_touches_of_a_larger_image_is_drawn_and_does_not_shine_through(model):
    image, hidden = np.full((280, 280), 40, np.uint8), np.zeros((280, 280), bool)
    hidden[:, 103:106] = True  # thinner than a pixel of the model's
    image[hidden] = 255
    drawn = model.inpaint(image, hidden, steps=3).pixels[0, 0].astype(int)
    known = np.ones(28, bool)
    known[9:12] = False  # column 10, and those next to it
    assert np.abs(drawn[:, known] - 40).max() <= 1
    assert np.abs(drawn[:, 10] - 40).max() > 5


@pytest.mark.parametrize(
    ("shape", "mask", "told"),
    [
        ((28, 28), np.ones((28, 56)), "a mask of 28 x 56 pixels for an image of 28 x 28"),
        ((56, 28), np.ones((28, 56)), "a mask of 28 x 56 pixels for an image of 56 x 28"),
        ((28, 28), np.zeros((28, 28)), "hides nothing"),
        ((28, 56), np.arange(56)[None].repeat(28, 0) < 10, "only what is cut away"),
        ((28, 28), np.full((28, 28), "x"), "numbers"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(model, shape, mask, told):
    with pytest.raises(OptionError, match=told):
        model.inpaint(np.zeros(shape, np.uint8), mask)


def test_a_mask_of_the_model_s_size_fits_every_image(model):
    hidden = np.eye(28, dtype=bool)
    drawn = model.inpaint(np.full((40, 90), 7, np.uint8), hidden, steps=3).pixels[0, 0]
    assert (drawn[~binary_dilation(hidden, np.ones((3, 3)))] == 7).all()


def test_interpolation_between_images_begins_and_ends_there(model):
    ends = model.sample(2, label=0, seed=3, steps=50)
    drawn = model.interpolate(ends[0], ends.tensor[1], 5, label=0, steps=50).pixels.astype(int)
    for end, image in ((0, 0), (-1, 1)):
        assert np.abs(drawn[end] - ends.pixels[image]).mean() < 6  # of 255
    assert np.abs(drawn[2] - ends.pixels).mean() > 6
    for nothing in (1.5, None):
        with pytest.raises(DataError, match=r"is no image|no image$"):
            model.interpolate(nothing, 3)


def test_interpolation_ends_where_the_seeds_draw(model):
    drawn = model.interpolate(5, 6, 4, label=0, steps=4)
    for i, seed in ((0, 5), (-1, 6)):
        alone = model.sample(1, label=0, seed=seed, steps=4).pixels[0].astype(int)
        assert np.abs(drawn.pixels[i] - alone).max() <= 1


def test_a_strip_ends_in_the_image(model):
    strip = model.strip("disc", 5, steps=8, seed=2)
    assert len(strip) == 5
    alone = model.sample(1, label="disc", seed=2, steps=8).pixels[0].astype(int)
    assert np.abs(strip.pixels[-1] - alone).max() <= 1


def test_the_ends_of_the_range_of_an_edit(model, image):
    for strength in (0.0, 0.001, 0.99, 1.0):
        edited = model.edit(image, strength, 2, steps=4)
        assert len(edited) == 2
    assert np.array_equal(model.edit(image, 0.0, 1).pixels[0, 0], np.asarray(image))
    drawn = model.sample(2, steps=4).pixels
    assert np.array_equal(model.edit(image, 1.0, 2, steps=4).pixels, drawn)


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        (lambda m: m.sample(2.0), "n must be a whole number, not 2.0"),
        (lambda m: m.sample(0), "n must be at least 1"),
        (lambda m: m.sample(1, steps=2.5), "steps must be a whole number"),
        (lambda m: m.sample(1, seed=0.5), "a seed is a whole number, not 0.5"),
        (lambda m: m.sample(1, label=0, guidance="much"), "finite number"),
        (lambda m: m.sample(1, caption=["a shoe"]), "it reads none"),
        (lambda m: m.strip(frames=1), "frames must be at least 2"),
        (lambda m: m.interpolate(1, 2, 1), "n must be at least 2"),
        (lambda m: m.upscale(domain.example().pixels[0, 0], 3.5), "factor must be a whole number"),
        (lambda m: m.edit(domain.example().pixels[:2]), "one image is wanted, not 2"),
        (lambda m: m.sample(1)[0:0].sheet(), "no images to show"),
        (lambda m: m.sample(1).save(__file__), "is a file; name a folder"),
        (lambda m: replaced(m, drop=0.0).sample(1, label=0, guidance=2), "takes no guidance"),
    ],
)
def test_what_cannot_be_done_is_told(model, verb, told):
    with pytest.raises(ValueError, match=told):
        verb(model)


def test_numbers_of_numpy_are_numbers(model):
    plain = model.sample(2, label=0, guidance=2.0, steps=3, seed=1).pixels
    numpy = model.sample(
        np.int64(2), label=np.int64(0), guidance=np.float32(2), steps=np.int32(3), seed=np.uint8(1)
    )
    assert np.array_equal(numpy.pixels, plain)
    assert np.array_equal(model.sample(2, guidance=3.0, steps=3).pixels, model.sample(2, steps=3).pixels)
    with pytest.raises(TypeError):
        _ = numpy[[0, 1]]


def test_checkpoints_draw_the_same(model, tmp_path):
    back = zoo.load(model.save(tmp_path / "saved"), device="cpu")
    assert np.array_equal(back.sample(2, label=1, steps=3).pixels, model.sample(2, label=1, steps=3).pixels)
    assert back.adapter == model.adapter and back.recipe.classes == 2


def test_batches_hide_a_part_of_some_and_the_class_of_some():
    recipe = replace(EDM, classes=2, inpaint=0.5, drop=0.3)
    raw = domain.dataset(domain.example(), "train", recipe)
    data = domain.dataset(domain.example(), "train", recipe, domain.adapter(recipe, raw))
    batch = data.batch(400, torch.Generator().manual_seed(0))
    assert batch.mask is not None and batch.mask.shape == (400, 1, 28, 28)
    assert batch.mask.flatten(1).any(1).all()
    assert (~batch.mask).flatten(1).any(1).float().mean() == pytest.approx(0.5, abs=0.1)
    assert (batch.cond["label"] == 2).float().mean() == pytest.approx(0.3, abs=0.07)
    assert batch.x.mean().abs() < 0.2 and batch.x.std() == pytest.approx(1, abs=0.2)


def test_splits_have_no_image_in_common():
    parts = [
        domain.dataset(domain.example(), split, EDM).pictures.pixels for split in ("train", "validation")
    ]
    seen = [{one.tobytes() for one in part} for part in parts]
    assert not seen[0] & seen[1] and len(seen[0]) > 3 * len(seen[1]) > 0


def test_classes_of_new_data_are_matched_by_name(model):
    example = domain.example()
    other = Pictures(example.pixels, example.labels, ("Disc", "star"))
    plain = domain.dataset(other, "train", model.recipe).pictures
    with pytest.warns(UserWarning, match="as of no class"):
        found = domain.dataset(other, "train", model.recipe, model.adapter).pictures
    assert found.classes == ("square", "disc")
    assert (found.labels == np.where(plain.labels == 0, 1, -1)).all()


def test_fine_tuning_learns_new_classes_beside_the_old_ones(model):
    example = domain.example()
    other = Pictures(example.pixels, example.labels, ("Disc", "star"))
    tuned = zoo.finetune(model, other, steps=3, lr=1e-2, device="cpu", show=False)
    assert tuned.adapter.classes == ("square", "disc", "star") and tuned.recipe.classes == 3
    assert domain.dataset(other, "train", tuned.recipe, tuned.adapter).pictures.labels.min() >= 0
    assert model.adapter.classes == ("square", "disc")  # the model itself is as it was
    known, none = (tuned.denoiser.network.condition.classes.weight[i] for i in (0, 3))
    before = model.denoiser.network.condition.classes.weight
    assert torch.allclose(known, before[0], atol=0.05) and torch.allclose(none, before[2], atol=0.05)
    assert len(tuned.sample(2, label="star", steps=2)) == 2


def test_new_classes_change_nothing_before_training(model):
    grown = model.copy()
    example = domain.example()
    domain.extend(grown, Pictures(example.pixels, example.labels, ("disc", "star")))
    for label in ("square", "disc", None):
        assert (grown.sample(2, label=label).pixels == model.sample(2, label=label).pixels).all()
    assert (grown.sample(2, label="star", guidance=1.0).pixels == model.sample(2).pixels).all()


def test_a_fine_tuned_model_with_new_classes_is_stored_and_loaded(model, tmp_path):
    example = domain.example()
    other = Pictures(example.pixels, example.labels, ("moon", "star"))
    tuned = zoo.finetune(model, other, steps=2, out=tmp_path / "tuned", device="cpu", show=False)
    loaded = zoo.load(tmp_path / "tuned")
    assert loaded.adapter.classes == ("square", "disc", "moon", "star")
    assert (
        loaded.sample(2, label="moon", steps=2).pixels == tuned.sample(2, label="moon", steps=2).pixels
    ).all()


def test_images_of_another_size_are_brought_to_the_models(model):
    example = domain.example()
    large = Pictures(example.pixels.repeat(2, -1).repeat(2, -2), example.labels, example.classes)
    assert domain.dataset(large, "train", model.recipe, model.adapter).pictures.pixels.shape[1:] == (
        1,
        28,
        28,
    )


@pytest.mark.parametrize("size", [26, 30])
def test_images_that_the_levels_cannot_halve_are_refused_before_training(size):
    recipe = replace(EDM, framing=Framing(size=size))
    with pytest.raises(OptionError, match=f"images of {size} pixels: this network takes multiples of 4"):
        zoo.train(domain, domain.example(), recipe=recipe, show=False)


def test_evaluation_names_its_measures_and_asks_for_data_where_it_needs_some(model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (600, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=pixels)
    with pytest.raises(OptionError, match="give --data"):
        domain.evaluate(model, domain.evaluate_request(n=100))
    table = domain.evaluate(model, domain.evaluate_request(n=100, steps=2, data=tmp_path / "mine.npz"))
    assert list(table["measure"]) == ["Fréchet distance", "KID", "precision", "recall", "C2ST"]
    assert table["value"].notna().all() and table["floor"].notna().all()
    with pytest.raises(OptionError, match="at least 100"):
        domain.evaluate(model, domain.evaluate_request(n=50, data=tmp_path / "mine.npz"))


def test_exported_programs_answer_as_the_model(model, tmp_path):
    (path,) = zoo.export(model, tmp_path)
    program = torch.export.load(path).module()
    x, t, label = torch.randn(3, 1, 28, 28), torch.rand(3), {"label": torch.tensor([0, 1, 2])}
    mask = torch.rand(3, 1, 28, 28) < 0.5
    torch.testing.assert_close(
        program(x, t, label, mask), model.denoiser(x, t, label, mask), atol=1e-4, rtol=1e-4
    )


def test_files_that_cannot_be_read_are_told(tmp_path):
    for i, pixels in enumerate(domain.example().pixels[:30]):
        Image.fromarray(pixels[0]).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"no")
    recipe = replace(
        EDM, training=replace(EDM.training, steps=1, batch_size=4, validation_batches=1), network=TINY
    )
    with pytest.warns(UserWarning, match=r"files left out \(1\): .*broken\.png") as told:
        zoo.train(domain, tmp_path, recipe=recipe, device="cpu", show=False)
    assert len([one for one in told if "left out" in str(one.message)]) == 1


@pytest.fixture(scope="module")
def reader():
    """A model that was trained on captions which say where the square or disc is, and little else."""
    example = domain.example()
    captions = tuple(f"a {example.classes[label]}" for label in example.labels)
    told = replace(example, captions=captions, labels=np.full(len(example), -1), classes=())
    brief = replace(EDM.training, steps=40, batch_size=16, validation_batches=1, validate_every=40)
    recipe = replace(EDM, network=TINY, training=brief)
    return zoo.train(domain, told, recipe=recipe, device="cpu", show=False)


def test_captions_condition_what_is_drawn(reader, tmp_path):
    assert reader.recipe.words > 0 and reader.adapter.classes == ()
    square, disc, none = (reader.sample(2, caption=text).pixels for text in ("a square", "a disc", None))
    assert (square != disc).any() and (square != none).any()
    both = reader.sample(2, caption=["a square", "A SQUARE!"]).pixels.astype(int)
    assert np.abs(both - square).max() <= 1
    guided = reader.sample(2, caption="a square", guidance=3.0)
    assert (guided.pixels != square).any()
    reader.save(tmp_path / "saved")
    assert (zoo.load(tmp_path / "saved").sample(2, caption="a square").pixels == square).all()
    assert (reader.strip(caption="a square", seed=0).pixels[-1] == square[0]).all()


def test_captions_of_every_form(reader):
    pair = reader.sample(2, caption=["a square", "a disc"], steps=3).pixels
    for form in (("a square", "a disc"), np.array(["a square", "a disc"])):
        assert np.array_equal(reader.sample(2, caption=form, steps=3).pixels, pair)
    for form, told in (([], "0 captions for 2"), (5, "neither one for all"), ([1, 2], "a caption is text")):
        with pytest.raises(OptionError, match=told):
            reader.sample(2, caption=form)
    blind = replace(EDM, network=replace(TINY, attention=(False, False)), words=64)
    with pytest.raises(ValueError, match="captions are read by attention"):
        domain.denoiser(blind)


def test_captions_are_dropped_with_the_class_for_guidance(reader):
    example = domain.example()
    bare = np.full(len(example), -1)
    told = replace(example, captions=("a square",) * len(example), labels=bare, classes=())
    data = domain.dataset(told, "train", replace(reader.recipe, drop=0.25), reader.adapter)
    batch = data.batch(400, torch.Generator().manual_seed(0))
    empty = (batch.cond["caption"] == 0).all(1)
    assert 0.15 < empty.float().mean() < 0.35
    gone = domain.dataset(told, "train", replace(reader.recipe, drop=1.0), reader.adapter)
    assert (gone.batch(8, torch.Generator().manual_seed(0)).cond["caption"] == 0).all()


def test_captions_for_models_that_read_none_are_refused_or_told(model):
    with pytest.raises(OptionError, match="without captions"):
        model.sample(1, caption="a square")
    example = domain.example()
    told = replace(example, captions=("a square",) * len(example))
    with pytest.warns(UserWarning, match="captions are left out"):
        domain.dataset(told, "train", model.recipe, model.adapter)


def test_there_is_a_caption_for_each_image_or_one_for_all(reader):
    with pytest.raises(OptionError, match="2 captions for 3 images"):
        reader.sample(3, caption=["a", "b"])


def test_a_strength_without_an_image_is_refused(model):
    with pytest.raises(OptionError, match="--data"):
        domain.sample(model, domain.sample_request(strength=0.3))


def test_galleries_are_images_arrays_and_tensors(model):
    gallery = model.sample(3, steps=2)
    assert [one.size for one in gallery] == [(28, 28)] * 3 and len(gallery[1:]) == 2
    assert (np.asarray(gallery[1]) == gallery.pixels[1, 0]).all()
    assert gallery.tensor.shape == (3, 1, 28, 28)
    assert (read(gallery.tensor, Framing()).pixels == gallery.pixels).all()  # as they went out


def test_augmented_images_are_told_and_the_others_are_as_they_were():
    x = torch.rand(200, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    changed, done = augmented(x, 0.2, torch.Generator().manual_seed(1))
    same = (done == 0).all(1)
    assert 0.4 < same.float().mean() < 0.62  # .8³ = .51
    assert (changed[same] == x[same]).all() and (changed[~same] != x[~same]).flatten(1).any(1).all()
    mirrored = (done == torch.tensor([1.0, 0, 0, 0])).all(1)
    assert mirrored.sum() > 10
    torch.testing.assert_close(changed[mirrored], x[mirrored].flip(-1))


def test_augmented_images_move_and_grow_as_told():
    # a bright pixel off the middle: where it lies afterwards, and how far from the middle
    x = torch.zeros(300, 1, 33, 33)
    x[:, :, 16 - 6, 16 + 4] = 1.0
    changed, done = augmented(x, 0.6, torch.Generator().manual_seed(2))
    mass = changed[:, 0] / changed[:, 0].sum((1, 2), keepdim=True)
    at = torch.linspace(-1, 1, 33) * (32 / 33)  # middles of pixels, in half sizes
    right, down = (mass.sum(1) * at).sum(1), (mass.sum(2) * at).sum(1)
    zoom, side, move = (ZOOMED * done[:, 3]).exp(), 1 - 2 * done[:, 0], MOVED * done[:, 1:3]
    inside = (done[:, 1:].abs() < 2).all(1)
    torch.testing.assert_close(right[inside], (zoom * side * 8 / 33 + move[:, 0])[inside], atol=0.02, rtol=0)
    torch.testing.assert_close(down[inside], (zoom * -12 / 33 + move[:, 1])[inside], atol=0.02, rtol=0)


def test_augmentation_is_a_condition_of_training_images_alone(model):
    recipe = replace(model.recipe, augment=0.5)
    train, held = (
        domain.dataset(domain.example(), split, recipe, model.adapter).batch(
            8, torch.Generator().manual_seed(0)
        )
        for split in ("train", "validation")
    )
    assert train.cond["augmented"].shape == (8, 4) and "augmented" not in held.cond
    denoiser = model.copy().denoiser
    denoiser.loss(train, torch.Generator().manual_seed(0)).mean().backward()
    assert denoiser.network.condition.augmented.weight.grad.abs().max() > 0


def test_a_recipe_out_of_its_bounds_is_refused_before_any_work():
    with pytest.raises(OptionError, match="recipe: augment"):
        zoo.train(domain, domain.example(), recipe=replace(EDM, network=TINY, augment=2.0), show=False)


@pytest.mark.parametrize(("options", "told"), [({"columns": -1}, "columns"), ({"columns": 2.5}, "columns")])
def test_a_sheet_tells_what_is_wrong_with_its_numbers(model, options, told, tmp_path):
    drawn = model.sample(2, steps=1)
    with pytest.raises(OptionError, match=told):
        drawn.plot(tmp_path / "x.png", **options)
    with pytest.raises(OptionError, match="no images"):
        drawn[:0].plot(tmp_path / "x.png")


def test_labels_may_be_of_numpy_or_torch_and_nothing_odd(model):
    square = model.sample(2, label=0, steps=2).pixels
    for label in (np.int64(0), np.zeros(2, int), torch.zeros(2, dtype=torch.long), ["square", "SQUARE"]):
        assert (model.sample(2, label=label, steps=2).pixels == square).all()
    for odd in (True, 1.5, 2, -1, "circle"):
        with pytest.raises(OptionError, match="no class"):
            model.sample(2, label=odd)


def test_classes_that_differ_in_case_alone_are_refused(model):
    example = domain.example()
    twins = Pictures(example.pixels, example.labels, ("Cat", "cat"))
    with pytest.raises(DataError, match="'Cat' and 'cat'"):
        zoo.train(domain, twins, recipe=model.recipe, show=False)
    with pytest.raises(DataError, match="'Cat' and 'cat'"):
        zoo.finetune(model, twins, show=False)


def test_models_that_were_shown_no_parts_fill_in_all_the_same(model, image):
    hidden = np.arange(28)[:, None].repeat(28, 1) >= 14
    filled = replaced(model, inpaint=0.0).inpaint(image, hidden, 2, seed=0).pixels
    assert (filled[:, 0, :14] == np.asarray(image)[:14]).all() and (filled[0] != filled[1]).any()


def test_blends_and_strips_are_of_one_noise_whatever_the_sampler(model):
    noisy = replaced(model, sampling=replace(model.recipe.sampling, sampler="sde"))
    blend = noisy.interpolate(3, 4, n=4, label="disc").pixels
    assert (blend == model.interpolate(3, 4, n=4, label="disc").pixels).all()
    assert len(noisy.strip("disc", frames=4)) == 4


def test_evaluation_asks_for_the_classes_of_the_data(model, monkeypatch):
    asked = []

    def sample(self, n, *, label, **others):
        asked.extend(label)
        return model_class_sample(self, n, label=label, **others)

    model_class_sample = type(model).sample
    monkeypatch.setattr(type(model), "sample", sample)
    example = domain.example()
    many = Pictures(
        example.pixels[np.arange(2000) % 80]
        ^ np.random.default_rng(0).integers(8, size=(2000, 1, 28, 28)).astype("u1"),
        np.where(np.arange(2000) % 4 == 0, 0, 1),
        ("disc", "star"),
    )
    with pytest.raises(OptionError, match=r"there are 1\d+ real images"):
        domain.evaluate(model, domain.evaluate_request(data=many, n=1900))
    assert not asked  # it is told before anything is drawn
    domain.evaluate(model, domain.evaluate_request(data=many, n=200, steps=1))
    assert 35 <= asked.count(1) <= 65 and asked.count(1) + asked.count(None) == 200  # a quarter are discs


def test_images_can_be_written_into_a_folder_twice(model, tmp_path, capsys):
    model.save(tmp_path / "saved")
    drawn = tmp_path / "drawn"
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            main(["sample", str(tmp_path / "saved"), "-n", "2", "--steps", "2", "--out", str(drawn)])
        assert stopped.value.code == 0, capsys.readouterr().err
    assert sorted(file.name for file in drawn.iterdir()) == ["00000.png", "00001.png"]
