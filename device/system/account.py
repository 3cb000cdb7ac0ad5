"""Root does nothing as root in a folder of another account: it becomes that account.

An account that may write to a folder decides what the names in it lead to. A link put there make
root read, write or give away any file of the machine; so root first gives up all rights that the
folder's account does not have, and what it then writes belongs to that account. Standard library
alone.
"""

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

_MOST_LINKS = 40


def owner_of(path: Path) -> int:
    """The account that decides what a path leads to.

    Returns
    -------
    Number of the first account other than root that owns a part of the path, a link on the way or
    what it leads to; 0: all of it that is there is root's.
    """
    owners = (part.st_uid for part in _parts(path))
    return next((owner for owner in owners if owner), 0)


def is_root_elsewhere(path: Path) -> bool:
    """Whether this process is root's and the path is not."""
    return os.geteuid() == 0 and owner_of(path) != 0


def switch_to_owner_of(path: Path) -> str | None:
    """If this process is root's and the path is not, go on as the account that it belongs to.

    There is no way back: real, effective and saved ids change, and the groups with them.

    Returns
    -------
    Name of the account, if it changed; its number, if it has no name.
    """
    owner = owner_of(path) if os.geteuid() == 0 else 0
    if owner == 0:
        return None
    try:
        account = pwd.getpwuid(owner)
    except KeyError:
        # An account without a name has no other groups; its number belongs to no other account.
        name, group = str(owner), owner
        os.setgroups([])
    else:
        name, group = account.pw_name, account.pw_gid
        os.initgroups(name, group)
    os.setresgid(group, group, group)
    os.setresuid(owner, owner, owner)
    return name


def _parts(path: Path) -> Iterator[os.stat_result]:
    """Look at every part of a path that is there, from the root on, links before their targets."""
    place, pending, n_links = Path("/"), list(reversed(path.absolute().parts[1:])), 0
    while pending:
        name = pending.pop()
        if name == "..":
            place = place.parent
            continue
        here = place / name
        try:
            status = here.lstat()
        except OSError:
            return
        yield status
        if not stat.S_ISLNK(status.st_mode):
            place = here
            continue
        n_links += 1
        if n_links > _MOST_LINKS:
            return
        target = here.readlink()
        place = Path("/") if target.is_absolute() else place
        pending += reversed([part for part in target.parts if part != "/"])
