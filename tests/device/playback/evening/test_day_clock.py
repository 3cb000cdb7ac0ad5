"""Times of day: commands at the right local time, and none before the time is known."""

import time
from datetime import datetime

import pytest

from device.errors import SettingsError
from device.playback.evening.day_clock import CHECK_SECONDS, DayClock
from device.switches.commands import CommandQueue, SetQuiet, Wake
from device.system.host import Host

SEVEN, ELEVEN = 7 * 60, 23 * 60


def local(hour, minute=0, second=0, day=22):
    return datetime(2026, 11, day, hour, minute, second).timestamp()


@pytest.fixture(autouse=True)
def berlin(monkeypatch):
    """Winter ends on 29 March and begins on 25 October 2026."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Day:
    """A machine whose time is set, and a clock that is checked by hand."""

    def __init__(self, root, now, *, is_known=True, may_wait=True, **times):
        self.now, self.messages, self.queue = now, [], CommandQueue()
        self.root = root
        (root / "run/systemd/timesync").mkdir(parents=True, exist_ok=True)
        if is_known:
            self.synchronize()
        self.clock = DayClock(
            self.queue,
            **{"wake_at": None, "quiet": None, **times},
            may_wait=may_wait,
            report=self.messages.append,
            host=Host(root=root, now=lambda: self.now),
        )

    def synchronize(self):
        (self.root / "run/systemd/timesync/synchronized").touch()

    def until(self, now):
        """The commands up to a time, in 10 s each: (local time, command)."""
        taken = []
        while self.now < now:
            self.now += CHECK_SECONDS
            self.clock.check()
            while self.queue:
                at = datetime.fromtimestamp(self.now)
                taken.append((f"{at:%d %H:%M}", self.queue.take()))
        return taken


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr("device.playback.evening.day_clock.SupervisedThread", _Thread)
    return lambda *arguments, **options: Day(tmp_path, *arguments, **options)


class _Thread:
    def __init__(self, name, step, every):
        assert every == CHECK_SECONDS

    def close(self):
        self.is_closed = True


def test_it_wakes_every_day_at_its_time(make):
    day = make(local(22), wake_at=SEVEN)
    assert day.until(local(12, day=24)) == [("23 07:00", Wake()), ("24 07:00", Wake())]
    assert day.messages == []


@pytest.mark.parametrize("second", [50, 55, 59])
def test_it_wakes_once_whatever_the_seconds(make, second):
    assert make(local(6, 59, second), wake_at=SEVEN).until(local(8)) == [("22 07:00", Wake())]


def test_quiet_hours_begin_before_midnight_and_end_after_it(make):
    day = make(local(12), quiet=(ELEVEN, SEVEN))
    assert day.until(local(12, day=23)) == [
        ("22 23:00", SetQuiet(True)),
        ("23 07:00", SetQuiet(False)),
    ]


def test_it_starts_within_the_quiet_hours(make):
    day = make(local(3), quiet=(ELEVEN, SEVEN))
    assert day.queue.take() == SetQuiet(True)
    assert day.until(local(8)) == [("22 07:00", SetQuiet(False))]


def test_a_clock_that_is_set_meanwhile_wakes_nobody(make):
    day = make(local(5), wake_at=SEVEN)
    day.now = local(9)
    day.clock.check()
    assert not day.queue
    assert day.until(local(8, day=23)) == [("23 07:00", Wake())]


def test_a_time_that_the_change_to_summer_skips_is_not_lost(make):
    skipped = datetime(2026, 3, 29, 1, 30).timestamp()
    day = make(skipped, wake_at=2 * 60 + 30)
    assert day.until(skipped + 7200) == [("29 03:00", Wake())]


def test_without_the_right_time_it_waits_and_says_so_once(make):
    day = make(local(22, day=1), is_known=False, wake_at=SEVEN, quiet=(ELEVEN, SEVEN))
    assert day.until(local(8, day=2)) == []
    day.now = local(22)
    day.synchronize()
    assert day.until(local(23, 30)) == [("22 23:00", SetQuiet(True))]
    assert [message.partition(":")[0] for message in day.messages] == [
        "wake_at and quiet wait",
        "the time of day is known",
    ]


def test_where_it_may_not_wait_it_is_refused_with_what_to_take_instead(make):
    with pytest.raises(SettingsError, match="take sleep, wake_after and wander"):
        make(local(22), is_known=False, may_wait=False, wake_at=SEVEN)


def test_the_thread_checks_by_itself_and_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("device.playback.evening.day_clock.CHECK_SECONDS", 0.01)
    day = Day(tmp_path, local(3), quiet=(ELEVEN, SEVEN))
    with day.clock:
        day.now = local(7)
        deadline = time.monotonic() + 20
        while len(day.queue) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [day.queue.take(), day.queue.take()] == [SetQuiet(True), SetQuiet(False)]
