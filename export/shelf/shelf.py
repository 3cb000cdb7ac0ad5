"""The shelf: a folder of models on the workstation, each validated as a device would.

::

    <sha256>.onnx         a model; its name is the hash of its bytes
    <sha256>.ogg or .wav  twenty seconds of it
    <sha256>.md           its card, as `switchboard card` writes it
    index.json            for each: title, licences, credits, corpus, scores, where it came from

It is a model store (`device.store.store`) of its own that never drops a model: `switchboard models
remove --store` and the other verbs work on it. What the index says is read from the models whenever
one is added: removed ones are left out, and what lies beside them goes. A lost index costs the
origins alone.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from device.errors import StoreError
from device.files import file_lock, read_json_object, remove_durably, write_json_object
from device.model.network import Network
from device.model.summary import read_card
from device.plain_text import one_line
from device.store.store import ModelStore
from device.store.upload import writing_into
from device.system.account import switch_to_owner_of
from device.system.outputs import written
from device.updates.install import install, known_verdict
from export.shelf.card import card_of, corpus_of
from export.shelf.licences import Use, terms_of
from export.shelf.sample import write_sample

FORMAT = 1
_MOST_MODELS = 10_000
_LOCK_SECONDS = 20.0
_SOUNDS, _CARD = (".ogg", ".wav"), ".md"


@dataclass(frozen=True)
class Entry:
    """One model of the shelf, as the index describes it.

    Attributes
    ----------
    sha256, title : str
    size_bytes : int
    licences, uses, credits : list of str
        See `export.shelf.licences.Terms`.
    terms : str
        The same for people, one line.
    corpus : dict
        What the model was trained on; any JSON.
    scores : dict
    switch_labels : list of str
    sample_rate : int
        Hz.
    tempo_bpm : float
    source : str
        The address or file it came from.
    added : float
        Seconds since the epoch.
    sound, card : str or None
        Names of the files beside it.
    """

    sha256: str
    title: str
    size_bytes: int
    licences: list[str]
    uses: list[str]
    credits: list[str]
    terms: str
    corpus: dict[str, Any]
    scores: dict[str, float]
    switch_labels: list[str]
    sample_rate: int
    tempo_bpm: float
    source: str
    added: float
    sound: str | None
    card: str | None


@dataclass(frozen=True)
class Origin:
    """Where a model came from, and when, in seconds since the epoch."""

    source: str
    added: float


class Shelf:
    """The models of a folder, which is made when the first one is added.

    Raises
    ------
    StoreError, StoreFull, OutputError
        From `add`.
    """

    def __init__(self, directory: Path) -> None:
        switch_to_owner_of(directory)
        self.store = ModelStore(directory, keep=_MOST_MODELS)
        self.directory = self.store.directory
        self._index = self.directory / "index.json"

    def add(
        self,
        content: bytes,
        source: str,
        use: Use = Use.PRIVATE,
        *,
        again: bool = False,
        report: Callable[[str], None] = lambda check: None,
    ) -> Entry:
        """Validate a model in a process of its own, and keep it with a sound and its entry.

        Parameters
        ----------
        use : Use
            What its licences have to allow.
        again : bool
            Validate it even if it was accepted or refused here before.
        report : callable
            Called with the name of each check.

        Raises
        ------
        SwitchboardError
            The refusal, if it is one; then nothing is kept.
        """
        digest = hashlib.sha256(content).hexdigest()
        verdict = None if again else known_verdict(self.store, digest)
        if verdict is None:
            with self.store.incoming(len(content)) as incoming:
                incoming.write(content)
                incoming.flush()
                _check_use(incoming.path, source, use)
                verdict = install(self.store, incoming, report)
        verdict.check_accepted(source)
        _check_use(self.store.path(digest), source, use)
        path = self.store.path(digest)
        if again or self._beside(digest, *_SOUNDS) is None:
            write_sample(Network.open(path), path)
        with written(path.with_suffix(_CARD)) as file:
            file.write(card_of(path, Use.PRIVATE).encode())
        return self._record(digest, source)

    def entries(self) -> list[Entry]:
        """All models in the order of their titles."""
        origins = self._origins()
        digests = [model.digest for model in self.store.models() if model.refused is None]
        entries = [self._describe(digest, origins.get(digest)) for digest in digests]
        return sorted(entries, key=lambda entry: (entry.title.casefold(), entry.sha256))

    def find(self, name: str) -> Entry:
        """The model whose hash begins so.

        Raises
        ------
        StoreError
            If there is none, or several.
        """
        digest = self.store.find(name)
        return self._describe(digest, self._origins().get(digest))

    def path(self, entry: Entry) -> Path:
        """The file of a model."""
        return self.store.path(entry.sha256)

    def _beside(self, digest: str, *suffixes: str) -> str | None:
        paths = [self.store.path(digest).with_suffix(suffix) for suffix in suffixes]
        return next((path.name for path in paths if path.is_file()), None)

    def _record(self, digest: str, source: str) -> Entry:
        with self._locked():
            origins = {**self._origins(), digest: Origin(one_line(source), time.time())}
            there = [model.digest for model in self.store.models()]
            entries = [self._describe(other, origins.get(other)) for other in there]
            models = [asdict(entry) for entry in entries]
            write_json_object(self._index, {"format": FORMAT, "models": models})
            for path in self.directory.glob("*"):
                if path.suffix in (*_SOUNDS, _CARD) and path.stem not in there:
                    remove_durably(path)
        return next(entry for entry in entries if entry.sha256 == digest)

    def _origins(self) -> dict[str, Origin]:
        """What only the index knows; an index of another form knows nothing."""
        content = read_json_object(self._index)
        origins = dict[str, Origin]()
        models = content.get("models")
        for model in models if isinstance(models, list) else []:
            match model:
                case {"sha256": str(digest), "source": str(source), "added": int() | float() as at}:
                    origins[digest] = Origin(source, at)
        return origins

    def _describe(self, digest: str, origin: Origin | None) -> Entry:
        origin = origin or Origin("", 0.0)
        path = self.store.path(digest)
        card = read_card(path)
        terms = terms_of(card)
        return Entry(
            sha256=digest,
            title=one_line(card.title),
            size_bytes=path.stat().st_size,
            licences=list(terms.licences),
            uses=[use.value for use in terms.uses],
            credits=list(terms.credits),
            terms=terms.line,
            corpus=dict(corpus_of(card)),
            scores=dict(card.scores),
            switch_labels=list(card.switch_labels),
            sample_rate=card.sample_rate,
            tempo_bpm=card.tempo_bpm,
            source=one_line(origin.source),
            added=origin.added,
            sound=self._beside(digest, *_SOUNDS),
            card=self._beside(digest, _CARD),
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with writing_into(self.directory):
            try:
                with file_lock(self.directory / ".index.lock", _LOCK_SECONDS):
                    yield
            except TimeoutError as error:
                raise StoreError(f"shelf: {error} by another process; try again") from error


def _check_use(path: Path, source: str, use: Use) -> None:
    # Every file that can be read may be used in private: what is wrong with another one, the
    # validation says.
    if use is not Use.PRIVATE:
        terms_of(read_card(path)).check(source, use)


def default_shelf() -> Path:
    """Where this workstation keeps its models."""
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else Path.home() / ".local/share") / "switchboard/shelf"
