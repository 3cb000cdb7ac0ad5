"""Calls that raise, and the exceptions that helper threads and reports must survive."""

ERRORS = [
    BrokenPipeError(32, "Broken pipe"),
    ValueError("I/O operation on closed file"),
    UnicodeEncodeError("latin-1", "\u266a", 0, 1, "ordinal not in range"),
    MemoryError(),
    KeyError("a listener's own mistake"),
    SystemExit(1),
    KeyboardInterrupt(),
]


class RaisingCall:
    """A callable that raises on its first `n_times` calls; on every call if that is negative."""

    def __init__(self, error, n_times=2):
        self.error = error
        self.n_left = n_times

    def __call__(self, *_args, **_options):
        if self.n_left:
            self.n_left -= 1
            raise self.error

    def before(self, function):
        """The function, with this call before it."""

        def faulty(*args, **options):
            self()
            return function(*args, **options)

        return faulty
