"""Who may ask for what: the checks of a request's headers, before anything is done.

The host must be a name or an address of this machine: a page elsewhere whose name was pointed at
this machine (DNS rebinding) has another one. The origin, where a browser sends it, must be this
page's. Whatever moves or shows something needs the token, which only a header can carry: no cookie
is set, so no other page can make a browser send it.
"""

import hmac
from collections.abc import Collection, Mapping
from ipaddress import ip_address

_SCHEMES = ("http://", "https://")
_SAME = ("same-origin", "none")


class Refused(Exception):
    """A request that is not answered with what it asks for.

    Attributes
    ----------
    status : int
        Of HTTP.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Guard:
    """Checks the headers of requests.

    Parameters
    ----------
    token : str
    names : collection of str
        Host names of this machine, in lower case.
    """

    def __init__(self, token: str, names: Collection[str]) -> None:
        self._token = token.encode()
        self._names = frozenset(names)

    def check_place(self, headers: Mapping[str, str], local_address: str) -> None:
        """Check the host, and the origin if there is one.

        Parameters
        ----------
        headers : mapping
            Names in lower case.
        local_address : str
            Of this end of the connection.

        Raises
        ------
        Refused
        """
        host = headers.get("host", "")
        if not self._is_here(host, local_address):
            raise Refused(421, "found another host, expected a name or an address of this machine")
        origin = headers.get("origin")
        is_same = origin is None or origin in [scheme + host for scheme in _SCHEMES]
        if not is_same or headers.get("sec-fetch-site", "none") not in _SAME:
            raise Refused(403, "found another origin, expected this page")

    def check_token(self, headers: Mapping[str, str]) -> None:
        """Check the token.

        Raises
        ------
        Refused
        """
        kind, _, token = headers.get("authorization", "").partition(" ")
        # In a time that does not depend on how much of it is right.
        is_right = hmac.compare_digest(token.strip().encode("utf-8", "replace"), self._token)
        if kind.lower() != "bearer" or not is_right:
            raise Refused(401, "found no valid token, expected that of the panel's link")

    def _is_here(self, host: str, local_address: str) -> bool:
        name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
        name = name if port.isdigit() else host
        name = name.removeprefix("[").removesuffix("]").lower().rstrip(".")
        return name in self._names or _plain_address(name) == _plain_address(local_address) != ""


def _plain_address(text: str) -> str:
    """An address without its zone, IPv4 without the IPv6 around it; empty if it is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)
