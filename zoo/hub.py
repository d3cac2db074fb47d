"""Checkpoints on the Hugging Face Hub: fetch one commit of a repository into the local cache."""

from pathlib import Path

from zoo import manifest
from zoo.errors import CheckpointError, UnknownModelError


def fetch(repo: str, revision: str | None) -> Path:
    """Downloads a checkpoint's files, all of one commit, and returns their folder.

    Offline (``HF_HUB_OFFLINE=1``), an earlier download of that revision is used. The files are
    checked when they are loaded, not here.

    Args:
        repo: ``"org/repo"``.
        revision: branch, tag or commit; None for the main branch.

    Raises:
        UnknownModelError: if there is no such repository or revision, or the Hub cannot be reached.
        CheckpointError: if the repository holds no checkpoint.
    """
    from huggingface_hub import errors, hf_hub_download
    from huggingface_hub.utils import httpx

    shown = f"{repo}@{revision}" if revision else repo
    try:
        first = Path(hf_hub_download(repo, manifest.MANIFEST, revision=revision))
        # The cache keeps a folder a commit: the rest comes from the same one, whatever is pushed in between.
        for name in manifest.read(first.parent).files:
            hf_hub_download(repo, name, revision=first.parent.name)
        return first.parent
    except errors.GatedRepoError:
        raise UnknownModelError(
            f"{shown}: gated; ask for access on its page and log in: hf auth login"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UnknownModelError(
            f"{shown}: no such repository on the Hub, or private: hf auth login"
        ) from None
    except errors.RevisionNotFoundError:
        raise UnknownModelError(f"{shown}: the repository has no such revision") from None
    except errors.RemoteEntryNotFoundError as error:
        raise CheckpointError(f"{shown}: no checkpoint of the zoo: {_first_line(error)}") from None
    except errors.HFValidationError:
        raise UnknownModelError(f"{shown}: not a valid Hub repository name") from None
    except errors.LocalEntryNotFoundError:
        raise UnknownModelError(
            f"{shown}: not in the cache, and the Hub is offline or out of reach"
        ) from None
    except (errors.HfHubHTTPError, httpx.HTTPError) as error:
        raise UnknownModelError(f"{shown}: the Hub did not answer: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
