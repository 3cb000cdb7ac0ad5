"""The order of versions, as PEP 440 has it. Standard library alone."""

import math
import re

_VERSION = re.compile(
    r"(?P<release>\d{1,9}(?:\.\d{1,9}){0,9})(?:(?P<stage>a|b|rc)(?P<n>\d{1,9}))?"
    r"(?:\.post(?P<post>\d{1,9}))?(?:\.dev(?P<dev>\d{1,9}))?(?:\+[a-z0-9.]+)?"
)
_STAGES = {"a": 0, "b": 1, "rc": 2}
_DEVELOPMENT, _FINAL = -1, 3

Order = tuple[tuple[int, ...], int, int, float, float]


def order_of(version: str) -> Order | None:
    """What compares as the version does; None if it is none."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return None
    release = [int(number) for number in match["release"].split(".")]
    while release and release[-1] == 0:
        release.pop()
    post = -1 if match["post"] is None else int(match["post"])
    dev = math.inf if match["dev"] is None else int(match["dev"])
    stage = _STAGES.get(match["stage"] or "", _FINAL)
    # 1.0.dev1 comes before 1.0a1, but 1.0.post1.dev1 after 1.0.
    if stage == _FINAL and post < 0 and dev < math.inf:
        stage = _DEVELOPMENT
    return tuple(release), stage, int(match["n"] or 0), post, dev
