"""Objects that release their resources when their ``with`` block ends."""

from typing import Self


class Closeable:
    """A context manager that calls `close` at its end; `close` may be called again."""

    def close(self) -> None:
        """Release the resources."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object, /) -> None:
        self.close()
