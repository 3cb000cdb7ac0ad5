"""`switchboard bundle`: an update for devices, as one signed file."""

from pathlib import Path

import click

from device.console import say


@click.command()
@click.argument("wheelhouse", type=click.Path(path_type=Path))
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path),
    help="Private key of ssh that signs, or the public one of a key in the agent.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The bundle; its signature is beside it.  [default: "
    "switchboard-VERSION-PYTHON-PROCESSOR.tar beside the wheelhouse]",
)
def bundle(wheelhouse: Path, key: Path, out: Path | None) -> None:
    """Pack WHEELHOUSE, a folder of `make wheelhouse`, for `switchboard update`, and sign it."""
    from export.remote.update_bundle import make_bundle, sign

    path, manifest = make_bundle(wheelhouse, out)
    signature = sign(path, key)
    size = path.stat().st_size / 2**20
    say(
        f"{path}: version {manifest.version}, {len(manifest.files)} files, {size:.0f} MiB",
        f"{signature}: signed with {key}",
    )
