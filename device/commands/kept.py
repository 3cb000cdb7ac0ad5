"""`switchboard kept`: lists, plays, exports and removes what a player has kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands import options
from device.console import say, say_json

if TYPE_CHECKING:
    import wave

    from device.playback.recording.kept_folder import KeptFolder, KeptPiece

_BLOCK_SAMPLES = 1024

folder = click.option(
    "--folder",
    "directory",
    type=click.Path(path_type=Path),
    help="Folder of the kept music.  [default: `keep_folder` of the configuration; else "
    "/var/lib/switchboard/kept on a device, else ~/.local/share/switchboard/kept]",
)


@click.group(invoke_without_command=True)
@click.pass_context
def kept(context: click.Context) -> None:
    """Music that was kept while it played: list, play, export, remove.

    NAME is the name of a piece, or its first characters.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_kept, directory=None, as_json=False)


@kept.command("list")
@folder
@options.as_json
def list_kept(directory: Path | None, as_json: bool) -> None:
    """All pieces, the oldest first."""
    kept_music = _open(directory)
    rows = [_row(piece) for piece in kept_music.pieces()]
    if as_json:
        say_json(rows)
    elif rows:
        width = max(len(row["name"]) for row in rows)
        for row in rows:
            minutes, seconds = divmod(round(row["seconds"]), 60)
            parts = [f"{row['name']:{width}}", f"{minutes}:{seconds:02}"]
            parts += [f"{row['n_bytes'] / 1e6:5.1f} MB", row["title"], row["share_code"]]
            say("  ".join(parts).rstrip())
    else:
        say(f"nothing is kept in {kept_music.directory}: the key k, or the button, keeps music")


@kept.command()
@click.argument("name")
@folder
@click.option(
    "--speaker",
    default="card",
    show_default=True,
    metavar="card|NAME|silent",
    help="card: the default card. NAME: part of a card's name.",
)
def play(name: str, directory: Path | None, speaker: str) -> None:
    """Play a piece."""
    from device.audio.open_speaker import open_speaker
    from device.model.network import interrupt
    from device.system.termination import TerminationHandler

    with (
        TerminationHandler(interrupt) as termination,
        _sound(_open(directory).find(name)) as wav,
        open_speaker(
            speaker, wav.getframerate(), live=True, report=lambda line: say(line, err=True)
        ) as output,
    ):
        for samples in _blocks(wav):
            termination.check()
            output.write(samples)


@kept.command()
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write: WAV; .flac, .ogg or .mp3 where the package soundfile is installed.",
)
@folder
def export(name: str, out: Path, directory: Path | None) -> None:
    """Write the sound of a piece to another file."""
    from device.audio.encoded_file import open_recording_file
    from device.system.outputs import is_standard_output

    piece = _open(directory).find(name)
    with _sound(piece) as wav, open_recording_file(out, wav.getframerate()) as file:
        for samples in _blocks(wav):
            file.write(samples)
        seconds = wav.getnframes() / wav.getframerate()
    say(f"{out}: {seconds:.1f} s of {piece.name}", err=is_standard_output(out))


@kept.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@folder
def remove(names: tuple[str, ...], directory: Path | None) -> None:
    """Remove pieces for good."""
    kept_music = _open(directory)
    for name in names:
        say(f"removed: {kept_music.remove(name)}")


def _open(directory: Path | None) -> "KeptFolder":
    """The folder, with the rights of the account that it belongs to."""
    from device.playback.recording.kept_folder import KeptFolder
    from device.playback.recording.locations import default_kept_folder
    from device.system.account import switch_to_owner_of

    path = directory or _configured() or default_kept_folder()
    switch_to_owner_of(path)
    return KeptFolder(path)


def _configured() -> Path | None:
    from device.commands.play import play as play_verb
    from device.config import find_settings, load_settings

    path = find_settings()
    found: Path | None = load_settings(path, play_verb).get("keep_folder") if path else None
    return found


def _row(piece: "KeptPiece") -> dict[str, Any]:
    return {
        "name": piece.name,
        "path": str(piece.path),
        "seconds": round(piece.seconds, 3),
        "n_bytes": piece.n_bytes,
        "title": piece.title,
        "share_code": piece.share_code,
    }


@contextmanager
def _sound(piece: "KeptPiece") -> "Iterator[wave.Wave_read]":
    """The WAV file of a piece, mono with 16 bits.

    Raises
    ------
    KeptError
        If it is none.
    """
    import wave

    from device.errors import KeptError
    from device.playback.recording.kept_folder import open_sound

    with open_sound(piece) as file:
        try:
            wav = wave.open(file)  # noqa: SIM115 (it does not own the file)
        except (wave.Error, EOFError) as error:
            raise KeptError(
                f"{file.name}: found {error}, expected a WAV file; `switchboard kept remove` "
                "removes the piece"
            ) from error
        if wav.getnchannels() != 1 or wav.getsampwidth() != 2 or wav.getframerate() < 1:
            raise KeptError(
                f"{file.name}: found another kind of WAV file, expected mono with 16 bits; remove "
                "the piece"
            )
        yield wav


def _blocks(wav: "wave.Wave_read") -> Iterator[Any]:
    """Samples between -1 and 1, (n,), float32, which are rounded to the same ones again."""
    import numpy as np

    while pcm := wav.readframes(_BLOCK_SAMPLES):
        yield np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float32) / 32767
