"""Errors of the zoo.

Every error that a user can cause is a `ZooError` with a message of one line: what was wrong, where, and
what to do. The command line prints that line and exits with code 2. Each also is a subclass of the
built-in error that fits, so that ordinary `except ValueError` code works.
"""


class ZooError(Exception):
    """Anything that the zoo refuses or cannot do; the base of all errors here."""


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
    """A checkpoint folder is incomplete, altered, of a newer schema, or not a checkpoint."""


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
