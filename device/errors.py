"""Every error the project raises on purpose, each with the exit code of its cause.

A message says what was found, what was expected and what to do, in one line. `device.cli.main`
is the only place that turns these into text and an exit status, so that a service manager can
distinguish the causes.
"""


class SwitchboardError(Exception):
    """Root of all errors raised on purpose."""

    exit_code = 1


class Ended(BaseException):
    """A signal has ended a command before it was done; nothing is wrong.

    Not an `Exception`: it is handled like Ctrl-C.

    Attributes
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interrupted(BaseException):
    """A network was stopped in the middle of computing because the process is to end.

    Not an `Exception`: it is no fault of the model.
    """


class ModelNotFound(SwitchboardError, FileNotFoundError):
    """There is no model file where one was expected."""

    exit_code = 10


class ModelUnreadable(SwitchboardError, ValueError):
    """The file is not an ONNX graph that onnxruntime can load: truncated or of another kind."""

    exit_code = 11


class ModelTooLarge(SwitchboardError, ValueError):
    """The file is larger than the contract allows."""

    exit_code = 12


class ContractError(SwitchboardError, ValueError):
    """The graph loads, but its metadata or its tensors do not follow the contract."""

    exit_code = 13


class GoldenMismatch(SwitchboardError, ValueError):
    """The model does not compute here what it computed where it was exported."""

    exit_code = 14


class SettingsError(SwitchboardError, ValueError):
    """The configuration file is not TOML, or has an unknown key or value."""

    exit_code = 15


class ScriptError(SwitchboardError, ValueError):
    """A script of flips is missing or malformed."""

    exit_code = 16


class BitsError(SwitchboardError, ValueError):
    """Switch states do not fit the model's number of switches."""

    exit_code = 17


class OutputError(SwitchboardError, OSError):
    """A file could not be written: disk full, no permission, no such folder."""

    exit_code = 18


class SwitchesUnavailable(SwitchboardError, OSError):
    """The chosen kind of switches is not available: no pins, no terminal."""

    exit_code = 19


class SpeakerUnavailable(SwitchboardError, OSError):
    """The speaker requested by name is not connected."""

    exit_code = 23


class MissingExtra(SwitchboardError, ImportError):
    """A verb needs packages that this installation left out."""

    exit_code = 24


class PackageConflict(SwitchboardError, ImportError):
    """Another distribution has a package called device, training or export, too."""

    exit_code = 58


class StoreError(SwitchboardError, ValueError):
    """The model store has no such model, may not remove it, or is locked by another process."""

    exit_code = 30


class StoreFull(SwitchboardError, OSError):
    """The disk has no room for another model."""

    exit_code = 31


class ModelRefused(SwitchboardError, ValueError):
    """A model that was refused before, by its hash."""

    exit_code = 32


class ForbiddenGraph(SwitchboardError, ValueError):
    """The graph contains what a model never needs: a loop, a foreign operator, another file."""

    exit_code = 33


class InvalidAudio(SwitchboardError, ValueError):
    """A switch state whose sound is not finite or far too loud, or a model that is silent."""

    exit_code = 34


class ModelTooSlow(SwitchboardError, ValueError):
    """The model takes longer to compute on this machine than the sound it makes lasts."""

    exit_code = 35


class ExaminationFailed(SwitchboardError, RuntimeError):
    """A model that cannot be examined within the limits of memory and time, or crashes it."""

    exit_code = 36


class ModelOutOfReach(SwitchboardError, OSError):
    """A model is there, but cannot be read as it was stored: no permission, or a failing disk."""

    exit_code = 38


class ModelFailed(SwitchboardError, RuntimeError):
    """A model that was opened and checked could not be computed while it played."""

    exit_code = 50


class ShareCodeError(SwitchboardError, ValueError):
    """A share code is misspelt, or belongs to a model that is not here."""

    exit_code = 51


class PerformanceError(SwitchboardError, ValueError):
    """A performance log is damaged, of another version, or of a model that is not here."""

    exit_code = 56


class KeptError(SwitchboardError, OSError):
    """The folder of kept music is full, or has no music of that name."""

    exit_code = 57


class StatusMissing(SwitchboardError, OSError):
    """No instrument writes its status there."""

    exit_code = 52


class StatusStale(SwitchboardError, OSError):
    """An instrument wrote its status there and no longer does: it hangs or is dead."""

    exit_code = 53


class PanelError(SwitchboardError, OSError):
    """The panel cannot listen: its port is taken, or its address is not this machine's."""

    exit_code = 54
