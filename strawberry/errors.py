"""Errors that a person can cause: each message is one sentence that says what is wrong and what to do."""


class StrawberryError(ValueError):
    """Any mistake in what was asked for; the command line prints it without a traceback and exits with 2."""


class ConfigError(StrawberryError):
    """A configuration names an unknown field or holds a value that cannot work."""


class DataError(StrawberryError):
    """The data to train on is missing, empty, too small, not text, or asked for with arguments that cannot work."""


class RunError(StrawberryError):
    """A run folder is missing, occupied, or does not fit what was asked of it."""


class CheckpointError(RunError):
    """A checkpoint is damaged, or none is there."""


class TraceError(StrawberryError):
    """A tap does not exist, heard nothing, or was given a replacement of the wrong shape."""
