"""The recipes of this domain's models."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, Le

from domains.images.backbone import SIZES, Size
from domains.images.pictures import Framing
from zoo.domain import Recipe, Sampling, Training
from zoo.engine.objective import LogitNormal, LogNormal, Objective

Share = Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True, kw_only=True)
class ImageRecipe(Recipe):
    """Adds the images, the network's sizes and what is trained beside plain generation.

    Attributes:
        source: name of the data set that it is trained on, where no other is given.
        labels: the column of classes in a table of the user's own, where there is a doubt.
        framing: size and mode of the images.
        classes: how many classes the network tells apart; set from the data.
        words: width of the vectors that stand for the words of a caption; 0 where there are no captions.
        network: its sizes.
        augment: probability that a training image is mirrored, and moved, and zoomed: see `augment.py`.
        drop: share of images that are trained without their class and caption, for guidance.
        inpaint: share of images with a part of them given.
    """

    domain: Literal["images"] = "images"
    source: str = "fashion-mnist"
    labels: str = ""
    framing: Framing = Framing()
    classes: Annotated[int, Ge(0), Le(100_000)] = 0
    words: Annotated[int, Ge(0), Le(4096)] = 0
    network: Size = SIZES["unet-tiny"]
    augment: Share = 0.0
    drop: Share = 0.1
    inpaint: Share = 0.1


EDM = ImageRecipe(
    name="images-edm",
    path="ve",
    scaling="edm",
    objective=Objective(LogNormal(-0.6, 1.2)),
    training=Training(
        steps=7000,
        batch_size=64,
        lr=2e-3,
        betas=(0.9, 0.99),
        muon=("conv_in", "conv_out"),
        weight_decay=0.01,
        warmup=0.02,
        validate_every=1000,
        validation_batches=16,
    ),
    finetuning=Training(steps=400, batch_size=64, lr=5e-4, validate_every=50, validation_batches=4),
    sampling=Sampling(sampler="adams2", steps=20, grid="logistic", guidance=1.25),
    summary=(
        "Draws small images of a class, fills in, edits and enlarges images: a U-Net trained by "
        "the method of Karras et al. 2022 (EDM)."
    ),
    limits="Made for images of one size and kind, those that it was trained on.",
    licence="MIT",
)
FLOW = replace(
    EDM,
    name="images-flow",
    path="linear",
    scaling="flow",
    objective=Objective(LogitNormal()),
    summary=EDM.summary.replace(
        "the method of Karras et al. 2022 (EDM)", "flow matching (Lipman et al. 2023)"
    ),
)
RECIPES = {recipe.name: recipe for recipe in (EDM, FLOW)}
