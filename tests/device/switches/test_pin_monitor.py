"""Switches watched live while somebody flips them."""

from device.switches.pin_monitor import Watch, table, watch

STILL = (False,)


def flips(*moves, n_steps=400, step=0.001):
    """Poll one contact each millisecond; moves are (millisecond, level)."""
    seen, levels = Watch(1), dict(moves)
    level = False
    for i in range(n_steps):
        level = levels.get(i, level)
        seen.update((level,), 10.0 + i * step)
    return seen.contacts[0]


def test_a_clean_flip_there_and_back_works():
    contact = flips((50, True), (200, False))
    assert (contact.n_flips, contact.closed, contact.bounce_ms) == (2, False, 0.0)
    assert contact.verdict == "works"


def test_bounce_is_timed_and_is_no_flip_on_closing_nor_on_opening():
    contact = flips((50, True), (52, False), (57, True), (200, False), (201, True), (203, False))
    assert contact.n_flips == 2
    assert round(contact.bounce_ms, 6) == 7.0
    assert contact.n_changes == 3
    assert contact.verdict == "works"


def test_a_switch_flipped_once_is_asked_for_back():
    assert flips((50, True)).verdict == "flip it back"
    assert flips().verdict == "flip it"


def test_a_switch_that_is_closed_and_never_moves_may_touch_ground():
    assert flips((0, True)).verdict == "closed: flip it, or it touches ground"


def test_a_loose_wire_is_told_from_bounce():
    contact = flips(*((i, bool(i % 2)) for i in range(50, 300)))
    assert contact.verdict == "chatters: check its wire"


def test_a_flip_that_bounces_back_within_the_lockout_ends_as_it_stands():
    contact = flips((50, True), (60, False))
    assert (contact.closed, contact.n_flips) == (False, 2)


def test_it_is_shown_while_it_is_watched_and_ends_in_time():
    class Time:
        now = 0.0

        def clock(self):
            return self.now

        def sleep(self, seconds):
            self.now += seconds

    time, shown = Time(), []
    seen = watch(
        lambda: (time.now > 0.5, False),
        lambda seen: shown.append([contact.closed for contact in seen.contacts]),
        2,
        seconds=1.0,
        clock=time.clock,
        sleep=time.sleep,
    )
    assert shown[0] == [False, False]
    assert shown[-1] == [True, False]
    assert 8 <= len(shown) <= 12
    rows = seen.rows((5, 99), ("warmth",))
    assert rows[0] == {
        "switch": 1,
        "label": "warmth",
        "bcm": 5,
        "header_pin": 29,
        "closed": True,
        "flips": 1,
        "bounce_ms": 0.0,
        "verdict": "flip it back",
    }
    assert (rows[1]["header_pin"], rows[1]["label"]) == (None, "")
    assert table(rows).row_count == 2
