"""`switchboard render`: one switch state or a whole performance, faster than real time."""

import time
from pathlib import Path
from typing import Any

import click

from device.commands import options
from device.commands.instrument_settings import InstrumentSettings
from device.commands.number_types import Finite
from device.console import say
from device.system.outputs import is_standard_output

# What the log of a performance contains, by parameter.
_LOGGED = ("bits", "position", "seed", "tempo", "still", "journey", "tape", "gain")
_SECONDS = 12.0


@click.command()
@click.option("--bits", help="Switch state, such as 01100101; --share contains one as well.")
@click.option(
    "--performance",
    "performance_log",
    type=click.Path(path_type=Path),
    help="Log that `play --performance` wrote, or of kept music: the same samples again.",
)
@click.option(
    "--seconds",
    type=Finite(min=0.1),
    help="Length.  [default: 12; of a performance, to its end]",
)
@click.option(
    "--from",
    "from_seconds",
    type=Finite(min=0),
    help="With --performance: where to begin, in seconds. It is rendered from its start all the "
    "same, because its sound depends on what was before.",
)
@click.option(
    "--without",
    type=click.IntRange(min=1),
    multiple=True,
    help="With --performance: the number of a switch that stays off, one option each.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write: WAV; .flac, .ogg or .mp3 where the package soundfile is installed.",
)
@click.option(
    "--model",
    "models",
    type=click.Path(path_type=Path),
    multiple=True,
    callback=options.model_paths,
    help="Model file (.onnx), or `bundled`; with --performance one option for each model that is "
    "not in the store.  [default: bundled]",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="Folder of the models that were pushed, for --performance and --share.  [default: "
    "/var/lib/switchboard/models on a device]",
)
@options.share
@options.music
def render(
    seconds: float | None,
    out: Path,
    models: tuple[Path, ...],
    performance_log: Path | None,
    from_seconds: float | None,
    without: tuple[int, ...],
    **parameters: Any,
) -> None:
    """Write one switch state, or a performance from its log, as a sound file."""
    if performance_log is not None:
        _check_alone()
        from device.commands.render_performance import Stretch, render_performance

        render_performance(
            performance_log,
            out,
            models=models,
            store=parameters["store"],
            stretch=Stretch(from_seconds, seconds),
            without=without,
        )
        return
    if from_seconds is not None or without or len(models) > 1:
        raise click.UsageError("--from, --without and several --model are for --performance.")
    model = models[0] if models else None
    _render_state(out, _SECONDS if seconds is None else seconds, model=model, **parameters)


def _check_alone() -> None:
    context = click.get_current_context()
    for name in _LOGGED:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = "share" if name == "position" else name
            raise click.UsageError(
                f"--performance contains what --{option} sets; leave one of them out."
            )


def _render_state(out: Path, seconds: float, *, bits: str | None, **parameters: Any) -> None:
    settings = InstrumentSettings(
        **parameters, standalone=True, keep_minutes=0, ahead=False, block_frames=16
    )
    position = settings.position
    if bits is None and position is None:
        raise click.UsageError("Missing option '--bits', '--share' or '--performance'.")
    options.check_share_code_alone(position)
    from device.audio.encoded_file import open_recording_file
    from device.commands.build_instrument import build_instrument
    from device.model.network import interrupt
    from device.switches.base import FixedSwitches
    from device.switches.bits import parse_bits
    from device.system.termination import TerminationHandler

    with TerminationHandler(interrupt) as termination:
        with build_instrument(
            settings,
            termination,
            make_switches=lambda n: FixedSwitches(
                position.bits if position else parse_bits(bits or "", n)
            ),
            make_speaker=lambda rate: open_recording_file(out, rate),
        ) as instrument:
            started = time.monotonic()
            with termination.stopping(instrument.stop.set):
                report = instrument.play(seconds)
            termination.check()
        elapsed = time.monotonic() - started
    line = f"{out}: {report.seconds:.1f} s, {report.seconds / elapsed:.0f}x real time"
    say(line, err=is_standard_output(out))
