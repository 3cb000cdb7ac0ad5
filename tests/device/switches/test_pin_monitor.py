"""Switches watched live while they are flipped."""

from device.switches.pin_monitor import Watch, table, watch

STILL = (False,)


def flips(*moves, n_steps=400, step=0.001):
    """Poll one contact each millisecond; moves are (millisecond, level)."""
    monitor, levels = Watch(1), dict(moves)
    level = False
    for i in range(n_steps):
        level = levels.get(i, level)
        monitor.update((level,), 10.0 + i * step)
    return monitor.contacts[0]


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


def test_a_switch_flipped_once_has_to_be_flipped_back():
    assert flips((50, True)).verdict == "flip it back"
    assert flips().verdict == "flip it"


def test_a_switch_that_is_closed_and_never_moves_may_touch_ground():
    assert flips((0, True)).verdict == "closed: flip it, or it touches ground"


def test_a_loose_wire_is_distinguished_from_bounce():
    contact = flips(*((i, bool(i % 2)) for i in range(50, 300)))
    assert contact.verdict == "chatters: check its wire"


def test_a_flip_back_within_the_lockout_is_a_second_flip():
    contact = flips((50, True), (60, False))
    assert (contact.closed, contact.n_flips) == (False, 2)


def test_the_table_is_refreshed_and_the_watch_ends_in_time():
    class Time:
        now = 0.0

        def clock(self):
            return self.now

        def sleep(self, seconds):
            self.now += seconds

    time, shown = Time(), []
    monitor = watch(
        lambda: (time.now > 0.5, False),
        lambda monitor: shown.append([contact.closed for contact in monitor.contacts]),
        2,
        seconds=1.0,
        clock=time.clock,
        sleep=time.sleep,
    )
    assert shown[0] == [False, False]
    assert shown[-1] == [True, False]
    assert 8 <= len(shown) <= 12
    rows = monitor.rows((5, 99), ("warmth",))
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
