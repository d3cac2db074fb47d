"""Errors of the zoo.

Every error that a user can cause is a `ZooError` with a message of one line: what was wrong, where, and
what to do. The command line prints that line and exits with code 2. Each also is a subclass of the
built-in error that fits, so that ordinary `except ValueError` code works.
"""


def one_line(text: str) -> str:
    """Text in one line, what is not printable escaped: it may quote a file that nobody trusts, and must not
    command a terminal.
    """
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


class ZooError(Exception):
    """Anything that the zoo refuses or cannot do; the base of all errors here."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class OptionError(ZooError, ValueError):
    """An argument or option has a value that cannot be used."""


class DataError(ZooError, ValueError):
    """The data handed in cannot be used."""


class UnknownModelError(ZooError, LookupError):
    """A reference names no model."""


class UnknownDomainError(ZooError, LookupError):
    """A name is no registered domain."""


class PluginError(ZooError, ImportError):
    """A registered domain cannot be loaded, or two packages register the same name."""


class CheckpointError(ZooError, ValueError):
    """A checkpoint is incomplete, altered, of a newer schema, or none at all."""


class HubError(ZooError, OSError):
    """The Hub is out of reach, refuses, or does not answer as it should."""


class ConflictError(HubError):
    """Someone else changed a branch meanwhile; nothing was pushed."""


class TrainingError(ZooError, RuntimeError):
    """Training cannot start, go on or resume."""


class MissingExtraError(ZooError, ImportError):
    """An optional library is not installed.

    Args:
        library: what could not be imported, e.g. ``"statsmodels"``.
        extra: the extra of this distribution that brings it, e.g. ``"timeseries"``.
    """

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"this needs {library}: pip install 'diffusion-zoo[{extra}]'")
        self._about = library, extra

    def __reduce__(self) -> tuple[type, tuple[str, str]]:  # so that another process can tell it
        return type(self), self._about
