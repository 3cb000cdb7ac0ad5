"""Which speaker a name means: a card, a recording, or silence."""

from pathlib import Path

from device.audio.speaker import Report, SilentSpeaker, Speaker
from device.audio.wav_file import WavSpeaker
from device.errors import OutputError, SpeakerUnavailable

FALLBACK_PATH = Path("performance.wav")


def open_speaker(
    spec: str, sample_rate: int, *, live: bool, report: Report, wait_for_device: bool = False
) -> Speaker:
    """Open the speaker that a setting names.

    Parameters
    ----------
    spec : str
        ``auto`` (the default card, or a recording where there is none), ``card`` (the default card
        or an error), ``silent``, ``wav:FILE``, or a part of a card's name.
    live : bool
        Whether a recording keeps real time.
    report : callable
        Takes one line for the player.
    wait_for_device : bool
        Play unheard until a card is there, instead of refusing or recording.

    Raises
    ------
    SpeakerUnavailable, OutputError
    """
    if spec == "silent":
        return SilentSpeaker(sample_rate)
    if spec.startswith("wav:"):
        return WavSpeaker(_wav_path(spec), sample_rate, paced=live)
    if spec == "auto" and not wait_for_device:
        return _open_card_or_recording(sample_rate, live=live, report=report)
    name = None if spec in ("auto", "card") else spec
    return _open_card(name, sample_rate, report=report, wait_for_device=wait_for_device)


def _wav_path(spec: str) -> Path:
    text = spec.removeprefix("wav:")
    if not text:
        raise OutputError("speaker 'wav:': found no file name, expected one; write wav:FILE")
    return Path(text)


def _open_card(
    name: str | None, sample_rate: int, *, report: Report, wait_for_device: bool = False
) -> Speaker:
    # Imported here: PortAudio is loaded, and its cards are listed, only where a card is used.
    from device.audio.sound_card import CardSpeaker

    return CardSpeaker(name, sample_rate, report=report, wait_for_device=wait_for_device)


def _open_card_or_recording(sample_rate: int, *, live: bool, report: Report) -> Speaker:
    try:
        return _open_card(None, sample_rate, report=report)
    except SpeakerUnavailable as error:
        report(f"{error}; recording to {FALLBACK_PATH} meanwhile")
        return WavSpeaker(FALLBACK_PATH, sample_rate, paced=live)
