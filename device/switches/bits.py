"""Switch states as text and as booleans, fitted to the size of a model."""

from device.errors import BitsError

Bits = tuple[bool, ...]


def parse_bits(text: str, n_switches: int) -> Bits:
    """Parse switch states written as one 0 or 1 per switch, first switch first.

    Raises
    ------
    BitsError
        If it contains another character or is not `n_switches` long.
    """
    if len(text) != n_switches or set(text) - {"0", "1"}:
        raise BitsError(
            f"switches: found {text!r}, expected {n_switches} characters 0 or 1; "
            f"write one per switch, such as {'10' * (n_switches // 2) + '1' * (n_switches % 2)}"
        )
    return tuple(character == "1" for character in text)


def format_bits(bits: Bits) -> str:
    """Write switch states as `parse_bits` reads them."""
    return "".join("1" if bit else "0" for bit in bits)


def flipped(bits: Bits, i: int) -> Bits:
    """The same states with one switch flipped, counted from 0."""
    return (*bits[:i], not bits[i], *bits[i + 1 :])


def moved(before: Bits, after: Bits) -> list[int]:
    """The switches whose states differ, counted from 0; the shorter one's length counts."""
    return [i for i, (then, now) in enumerate(zip(before, after, strict=False)) if then != now]


def fit(bits: Bits, n_switches: int) -> Bits:
    """Switch states for a model with more or fewer switches: extra ignored, missing off."""
    if len(bits) == n_switches:
        return bits
    return bits[:n_switches] + (False,) * (n_switches - len(bits))


def size_mismatch_warning(n_hardware: int, n_model: int) -> str | None:
    """Warning for hardware with another number of switches than the model; None if equal."""
    if n_hardware == n_model:
        return None
    rest = "the extra ones are ignored" if n_hardware > n_model else "the missing ones stay off"
    return f"there are {n_hardware} switches, the model has {n_model}: {rest}"
