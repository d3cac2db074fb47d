"""A small classifier of each data set, whose penultimate features are what images are compared in.

Inception's features are of photographs at 299×299 and need a download; a classifier trained on the data set
itself sees what matters there, in a megabyte. Scores in its features compare only with scores in the same
features: its hash belongs to the number. `benchmarks/images_classifier.py` trains the shipped ones.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from torch import Tensor, nn

from zoo import folders
from zoo.checkpoint import check_tables, table
from zoo.errors import CheckpointError, DataError, OptionError

HERE = Path(__file__).parent
WIDTH = 128  # of the features
SMALLEST = 16  # pixels: two halvings leave 4×4
LARGEST_FILE = 2_000_000  # bytes
BATCH = 256  # images at a time


@dataclass(frozen=True)
class Shipped:
    """A classifier that lies beside this file, as NAME.safetensors.

    Attributes:
        sha256: of the file.
        channels: of the images it takes.
        classes: their names, in the order of its probabilities.
    """

    sha256: str
    channels: int
    classes: tuple[str, ...]


SHIPPED = {
    "fashion-mnist": Shipped(
        "f2e1aab2ff9485e89a0f0e496db98d45d130ae9e68c65316a266089fc226ff76",
        channels=1,
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
    ),
    "mnist": Shipped(
        "8a71e1569256336f33a10471d4d7593c1cd3e947156074fb61547c1263988a4c",
        channels=1,
        classes=tuple("0123456789"),
    ),
}


def _unit(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class Residual(nn.Module):
    """x + relu(norm(conv(x))), with shape (B, width, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.unit = _unit(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.unit(x)


class Network(nn.Module):
    """0.4 million parameters: six convolutions of which two halve the size, global pooling, a linear head.

    The last normalisation has no gain or offset, so each feature has mean 0 and variance 1 over the training
    images: no feature outweighs another in a distance, and the unit of a Fréchet distance is known.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _unit(channels, 16),
            _unit(16, 64, stride=2),
            Residual(64),
            _unit(64, WIDTH, stride=2),
            Residual(WIDTH),
            Residual(WIDTH),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.BatchNorm1d(WIDTH, affine=False),
        )
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (B, classes) of uint8 pixels (B, C, H, W)."""
        return self.head(self.features(pixels))

    def features(self, pixels: Tensor) -> Tensor:
        """(B, 128), of uint8 pixels (B, C, H, W)."""
        scaled = (pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        return self.body(scaled)


class Classifier:
    """A trained network behind arrays; on the CPU, in evaluation mode.

    Args:
        network: taken over, and changed in place.
        channels: of the images it takes.
        classes: their names, in the order of its probabilities.
    """

    def __init__(self, network: Network, channels: int, classes: tuple[str, ...]) -> None:
        self.channels, self.classes = channels, classes
        network.eval().requires_grad_(False)
        self._network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """The penultimate features.

        Args:
            pixels: (N, C, H, W), uint8, of any height and width from 16.

        Returns:
            (N, 128), float32.

        Raises:
            DataError: if `pixels` are anything else.
        """
        return np.concatenate([self._network.features(batch).numpy() for batch in self._batches(pixels)])

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """(N, classes), float32, of pixels as `features` takes them."""
        return self.judge(self.features(pixels))

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """The most probable class: (N,), int64, of pixels as `features` takes them."""
        return self.probabilities(pixels).argmax(axis=1)

    def judge(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (N, classes) from what `features` returned, which saves computing those again."""
        return self._network.head(torch.from_numpy(features)).softmax(dim=1).numpy()

    def _batches(self, pixels: np.ndarray) -> Iterator[Tensor]:
        check_pixels(pixels)
        if pixels.shape[1] != self.channels or min(pixels.shape[2:]) < SMALLEST:
            raise DataError(
                f"pixels have shape {pixels.shape}; this classifier takes (N, {self.channels}, H, W) "
                f"with H and W of at least {SMALLEST}"
            )
        for start in range(0, len(pixels), BATCH):
            yield torch.from_numpy(np.ascontiguousarray(pixels[start : start + BATCH]))


def check_pixels(pixels: np.ndarray) -> None:
    """Refuses what is not images as a `Pictures` has them.

    Raises:
        DataError: if `pixels` is no uint8 array of shape (N, C, H, W), or has no image.
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        kind = getattr(pixels, "dtype", type(pixels).__name__)
        raise DataError(f"pixels are {kind}; a uint8 array is wanted, 0 for black and 255 for white")
    if pixels.ndim != 4 or not pixels.size:
        raise DataError(f"pixels have shape {pixels.shape}; (N, C, H, W) is wanted, with N of at least 1")


def load(name: str, folder: Path = HERE) -> Classifier:
    """A shipped classifier.

    Args:
        name: "fashion-mnist" or "mnist".
        folder: where its weights lie, if not beside this file.

    Raises:
        OptionError: if there is none of that name.
        CheckpointError: if its weights are missing, or not the shipped ones byte for byte.
    """
    if name not in SHIPPED:
        raise OptionError(f"no classifier {name!r}; there are {', '.join(SHIPPED)}")
    shipped, path = SHIPPED[name], folder / f"{name}.safetensors"
    try:
        data = folders.read_bytes(path, LARGEST_FILE)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    # The bytes that are hashed are the bytes that are parsed.
    if hashlib.sha256(data).hexdigest() != shipped.sha256:
        raise CheckpointError(
            f"{path}: sha256 differs from that of the shipped classifier: damaged or altered"
        )
    return restore(data, shipped.channels, shipped.classes, where=str(path))


def restore(data: bytes, channels: int, classes: tuple[str, ...], *, where: str) -> Classifier:
    """A classifier from the bytes of a safetensors file, in single or half precision.

    Raises:
        CheckpointError: naming `where` and the tensor that does not fit `Network`.
    """
    network = Network(channels, len(classes))
    try:
        tensors = parse(data)
    except SafetensorError as error:
        raise CheckpointError(f"{where}: not a valid safetensors file: {error}") from None
    check_tables(
        where, found=table(tensors), wanted=table(network.state_dict()), of="this classifier", half=True
    )
    network.load_state_dict(tensors)
    return Classifier(network, channels, classes)
