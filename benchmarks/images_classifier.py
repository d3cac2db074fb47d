"""Trains the classifiers whose features the images are scored in; twelve and five minutes on a busy core.

    ZOO_DATA=... python benchmarks/images_classifier.py [--out runs/classifiers] [fashion-mnist] [mnist]

Of the 60,000 training images 5,000 are held out: the weights of the epoch that is best on these are kept, and
the test images are looked at once, through the file that was written. To ship a file, move it beside
domains/images/evaluation/classifier.py and put its sha256 there.
"""

import argparse
import hashlib
import os
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch.nn.functional import cross_entropy

from domains.images.evaluation.classifier import SHIPPED, Network, restore

FILES = {"fashion-mnist": "fashion_mnist/fashion_mnist.npz", "mnist": "mnist/mnist.npz"}
EPOCHS = {"fashion-mnist": 7, "mnist": 3}
MIRRORED = {"fashion-mnist"}  # a mirrored digit is no digit
HELD_OUT, BATCH, SHIFT, SEED = 5_000, 128, 1, 0
RATE, MOMENTUM, DECAY = 0.05, 0.9, 1e-3


def augment(pixels: np.ndarray, rng: np.random.Generator, mirror: bool) -> np.ndarray:
    """Images (B, 1, H, W) shifted by up to a pixel, black moving in, and half of them mirrored."""
    count, _, height, width = pixels.shape
    padded = np.pad(pixels[:, 0], ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
    down, right = rng.integers(2 * SHIFT + 1, size=(2, count, 1))
    rows, columns = np.arange(height) + down, np.arange(width) + right
    if mirror:
        flipped = rng.random(count) < 0.5
        columns[flipped] = columns[flipped, ::-1]
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]


def accuracy(network: Network, pixels: np.ndarray, labels: np.ndarray) -> float:
    network.eval()
    with torch.no_grad():
        chosen = [network(batch).argmax(1).numpy() for batch in torch.from_numpy(pixels).split(BATCH)]
    return float((np.concatenate(chosen) == labels).mean())


def train(name: str, pixels: np.ndarray, labels: np.ndarray) -> bytes:
    """The safetensors file of a trained classifier.

    Args:
        pixels: (N, 1, H, W), uint8.
        labels: (N,), int64.
    """
    rng = np.random.default_rng(SEED)
    torch.manual_seed(SEED)
    order = rng.permutation(len(pixels))
    held, kept = order[:HELD_OUT], order[HELD_OUT:]
    network = Network(1, len(SHIPPED[name].classes)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), RATE, MOMENTUM, weight_decay=DECAY, nesterov=True)
    batches = len(kept) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=EPOCHS[name] * batches, pct_start=0.2, cycle_momentum=False
    )
    start, best, weights = time.time(), 0.0, b""
    for epoch in range(EPOCHS[name]):
        network.train()
        losses = []
        for chosen in rng.permutation(kept)[: batches * BATCH].reshape(batches, BATCH):
            batch = torch.from_numpy(augment(pixels[chosen], rng, name in MIRRORED))
            loss = cross_entropy(network(batch), torch.from_numpy(labels[chosen]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        reached = accuracy(network, pixels[held], labels[held])
        seconds = time.time() - start
        result = f"loss {np.mean(losses):.4f}, held out {reached:.4f}, {seconds:.0f} s"
        print(f"{name} epoch {epoch + 1}: {result}", flush=True)
        if reached >= best:
            # Vectors, the norms' statistics among them, stay in single precision: they are few.
            state = {key: t.half() if t.ndim > 1 else t for key, t in network.state_dict().items()}
            best, weights = reached, save({key: t.contiguous() for key, t in state.items()})
    return weights


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FILES)}")
    parser.add_argument("--out", type=Path, default=Path("runs/classifiers"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or FILES:
        with np.load(Path(os.environ["ZOO_DATA"]) / "images" / FILES[name]) as arrays:
            x_train, x_test = (arrays[key][:, None] for key in ("x_train", "x_test"))
            y_train, y_test = (arrays[key].astype(np.int64) for key in ("y_train", "y_test"))
        data = train(name, x_train, y_train)
        path = options.out / f"{name}.safetensors"
        path.write_bytes(data)
        classifier = restore(data, 1, SHIPPED[name].classes, where=str(path))
        score = (classifier.predict(x_test) == y_test).mean()
        print(
            f"{path}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}, test accuracy {score:.4f}"
        )
