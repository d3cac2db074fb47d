"""Where the Hub is and who asks; its errors in our words; one policy of retries and one deadline."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from zoo.errors import ConflictError, HubError, OptionError, UnknownModelError, ZooError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# The forms of what a user may write; no part of a name leads out of a folder.
REPO = r"(?!\.)[\w.-]{1,96}/(?!\.)[\w.-]{1,96}"
REVISION = r"(?!.*\.\.)[\w.][\w./-]{0,254}"
ORGANISATION = "diffusion-zoo"  # home of the shipped models
ANSWER_SECONDS = 10.0  # for the first byte of an answer
RETRY_SECONDS = 60.0  # for calls that failed and the pauses between them, in all
CONNECT_SECONDS = 3.0  # the same, where nobody listens
SLOWEST = 100_000  # bytes a second: a transfer that is slower is given up
TRANSIENT = {408, 429, 500, 502, 503, 504}

T = TypeVar("T")


@dataclass(frozen=True)
class Hub:
    """How to reach a Hub. What is None is as the environment says, for all tools of Hugging Face alike.

    Attributes:
        endpoint: its address; None for ``HF_ENDPOINT``, or huggingface.co.
        token: to read what is not public, and to push; None for ``HF_TOKEN`` or the login of
            ``hf auth login``, which is never sent to an `endpoint` given here; False for none.
        cache_dir: where downloads are kept; None for ``HF_HUB_CACHE``, or a folder in ``HF_HOME``.
        offline: use the cache alone; None for ``HF_HUB_OFFLINE``.

    Raises:
        OptionError: if one of them cannot be what it should.
    """

    endpoint: str | None = None
    token: str | bool | None = None
    cache_dir: str | PathLike[str] | None = None
    offline: bool | None = None

    def __post_init__(self) -> None:
        if self.endpoint is not None and not _is_address(self.endpoint):
            raise OptionError(f"endpoint {self.endpoint!r} is no address such as https://hub.example.org")
        if isinstance(self.token, str) and not _plain(self.token):
            raise OptionError("the token is empty, or has a character in it that no token has")  # not shown
        if self.cache_dir is not None and not os.fspath(self.cache_dir):
            raise OptionError("cache_dir is empty: name a folder, or leave it out")

    @property
    def is_offline(self) -> bool:
        """Whether the cache alone is to be used."""
        from huggingface_hub.constants import is_offline_mode

        return is_offline_mode() if self.offline is None else self.offline

    @property
    def own_token(self) -> str | bool | None:
        """The token that goes with the endpoint: a login is for the Hub that it was made on."""
        if self.endpoint is not None and not isinstance(self.token, str):
            return False
        return self.token

    @property
    def own_cache(self) -> str | None:
        """The cache folder, as the client wants it."""
        return None if self.cache_dir is None else os.path.expanduser(self.cache_dir)

    def api(self) -> "HfApi":
        """The client."""
        from huggingface_hub import HfApi

        import zoo

        return HfApi(
            endpoint=self.endpoint and self.endpoint.rstrip("/"),
            token=self.own_token,
            library_name="diffusion-zoo",
            library_version=zoo.__version__,
        )


AS_USUAL = Hub()


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _plain(token: str) -> bool:
    return bool(token) and all("!" <= c <= "~" for c in token)


class Calls:
    """Calls of the client: repeated where they may work a moment later, ended in time, with our errors.

    The client has loops of its own with no end in sight (a server may ask for any pause). So each call runs
    in a thread that is left behind when the time is up.

    Args:
        shown: the repository, which begins every message.
    """

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.spent = 0.0  # seconds, on what failed

    def __call__(
        self, call: Callable[[], T], *, transfer: int = 0, expect: tuple[type[Exception], ...] = ()
    ) -> T:
        """What the call returns.

        Args:
            transfer: bytes that it sends or receives, which takes time.
            expect: errors of the client that the caller wants to see as they are.

        Raises:
            UnknownModelError: if there is no such repository or revision.
            HubError: for anything else that goes wrong.
        """
        pause = 0.5
        while True:
            start = time.monotonic()
            try:
                return _within(max(RETRY_SECONDS - self.spent, 1.0) + transfer / SLOWEST, call)
            except (ZooError, *expect):
                raise
            except _TooLateError:
                seconds = time.monotonic() - start
                raise HubError(f"{self.shown}: the Hub is too slow: gave up after {seconds:.0f} s") from None
            except Exception as error:  # a client that talks to a strange server may fail in any way
                pause = max(pause, _asked_pause(error))
                self.spent += time.monotonic() - start + pause
                if self.spent > _allowed(error):
                    raise translated(self.shown, error) from None
            time.sleep(pause)
            pause = min(2 * pause, 8.0)


class _TooLateError(Exception):
    """A call took longer than it may."""


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Runs a call in a thread of its own, and waits for so long."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise _TooLateError
    return results[0]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it: the client hides what went wrong behind several others."""
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__


def _allowed(error: BaseException) -> float:
    """Seconds that may be spent on an error of this kind; 0 for one that would come again."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx

    for one in _chain(error):
        if isinstance(one, HfHubHTTPError | httpx.HTTPStatusError):
            return RETRY_SECONDS if one.response.status_code in TRANSIENT else 0.0
        if isinstance(one, httpx.ConnectError):
            return CONNECT_SECONDS
        if isinstance(one, httpx.TimeoutException | httpx.NetworkError | httpx.RemoteProtocolError):
            return RETRY_SECONDS
        if isinstance(one, OSError) and "Consistency check failed" in str(one):  # cut short
            return RETRY_SECONDS
    return 0.0


def _asked_pause(error: BaseException) -> float:
    """Seconds that the server asks to wait for."""
    from huggingface_hub.errors import HfHubHTTPError

    answers = [one.response for one in _chain(error) if isinstance(one, HfHubHTTPError)]
    asked = answers[0].headers.get("Retry-After", "") if answers else ""
    return float(asked) if asked.isdecimal() else 0.0


def translated(shown: str, error: BaseException) -> ZooError:
    """An error of the client as one of ours."""
    from huggingface_hub import errors

    for one in _chain(error):
        if isinstance(one, errors.GatedRepoError):
            return UnknownModelError(
                f"{shown}: gated; ask for access on its page, then log in (hf auth login) or pass a token"
            )
        if isinstance(one, errors.RepositoryNotFoundError):
            return UnknownModelError(
                f"{shown}: no such repository on the Hub, or private: log in (hf auth login) or pass a token"
            )
        if isinstance(one, errors.RevisionNotFoundError):
            return UnknownModelError(f"{shown}: the repository has no such revision")
        if isinstance(one, errors.HFValidationError):
            return UnknownModelError(f"{shown}: not a valid name of a Hub repository")
        if isinstance(one, errors.HfHubHTTPError) and one.response.status_code in (409, 412):
            return ConflictError(f"{shown}: {_told(one)}")
    return HubError(f"{shown}: {_told(error)}")


def _told(error: BaseException) -> str:
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx

    for one in _chain(error):
        line = next(iter(str(one).split("\n")), "").strip() or type(one).__name__
        if isinstance(one, errors.OfflineModeIsEnabled):
            return "this needs the Hub, but HF_HUB_OFFLINE is set"
        if isinstance(one, httpx.ConnectError | httpx.TimeoutException):
            return f"the Hub is out of reach: {line}"
        if isinstance(one, httpx.TransportError):
            return f"the connection to the Hub failed: {line}"
        if isinstance(one, errors.HfHubHTTPError | httpx.HTTPStatusError):
            status = one.response.status_code
            if status in (409, 412):
                return f"someone else was faster: {line}"
            if status == 401:
                return "the Hub does not know who you are: log in (hf auth login) or pass a token"
            if status == 403:
                return f"the Hub refuses this to your token: {line}"
            return f"the Hub answered with status {status}: {line}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"the cache cannot be used: {error.strerror}: {error.filename}"
    return f"the Hub gave an answer that makes no sense here: {type(error).__name__}: {error}"
