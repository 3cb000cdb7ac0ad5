"""The process of `switchboard panel`, which replaces itself by this one.

The verb's own packages would take 6 MB here, and TLS, which the panel does not speak, 4 MB.
"""

import json
import sys


def main() -> None:
    """Serve with the settings of the only argument, JSON, whose token comes on standard input."""
    # asyncio does without it where it is missing.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    import asyncio

    from device.ui.phone_panel.server import PanelSettings, serve

    settings = PanelSettings(**json.loads(sys.argv[1]), token=sys.stdin.readline().strip())
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
