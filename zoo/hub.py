"""Checkpoints on the Hugging Face Hub: fetch one commit of a repository into the local cache."""

from pathlib import Path

from zoo.errors import UnknownModelError
from zoo.manifest import CARD, MANIFEST, WEIGHTS


def fetch(repo: str, revision: str | None) -> Path:
    """Downloads a checkpoint's files, all of one commit, and returns their folder.

    Offline (``HF_HUB_OFFLINE=1``), an earlier download of that revision is used. The files are checked when
    they are loaded, not here.

    Args:
        repo: ``"org/repo"``.
        revision: branch, tag or commit; None for the main branch.

    Raises:
        UnknownModelError: if there is no such repository or revision, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi, errors, snapshot_download
    from huggingface_hub.utils import httpx

    shown = f"{repo}@{revision}" if revision else repo
    files = [MANIFEST, WEIGHTS, CARD]
    try:
        # The commit is resolved first, so that a push in between cannot mix two versions.
        commit = HfApi().model_info(repo, revision=revision).sha
        return Path(snapshot_download(repo, revision=commit, allow_patterns=files))
    except errors.OfflineModeIsEnabled:
        try:
            return Path(
                snapshot_download(repo, revision=revision, allow_patterns=files, local_files_only=True)
            )
        except errors.LocalEntryNotFoundError:
            raise UnknownModelError(f"{shown}: not downloaded before, and HF_HUB_OFFLINE is set") from None
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
    except errors.HFValidationError:
        raise UnknownModelError(f"{shown}: not a valid Hub repository name") from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, httpx.HTTPError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnknownModelError(f"{shown}: the Hub cannot be reached: {cause}") from None
