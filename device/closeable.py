"""What holds something lets go of it when its ``with`` block ends."""

from typing import Self


class Closeable:
    """A context manager whose end is `close`, which may be called again."""

    def close(self) -> None:
        """Let go of what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object, /) -> None:
        self.close()
