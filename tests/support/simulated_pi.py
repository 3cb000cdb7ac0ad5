"""A Raspberry Pi as `device.system.host` sees one: a folder of files, a table of outputs."""

from datetime import UTC, datetime

from device.system.host import Host

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()


class SimulatedPi:
    """A machine whose files and command outputs the test sets."""

    def __init__(self, root):
        self.root = root
        self.units = {}
        self.outputs = {}
        self.groups = {"switchboard": {"gpio", "audio"}}
        self.now = NOW

    def file(self, place, text=""):
        path = self.root / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def host(self):
        return Host(
            root=self.root,
            run=self._run,
            groups=lambda user: self.groups.get(user, set()),
            now=lambda: self.now,
        )

    def _run(self, command):
        if command[:2] == ("systemctl", "show"):
            values = self.units.get(command[2], {})
            names = command[3].removeprefix("--property=").split(",")
            return "\n".join(f"{name}={values[name]}" for name in names if name in values)
        return self.outputs.get(command)
