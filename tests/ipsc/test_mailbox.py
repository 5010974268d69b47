"""Notifies and waits: nothing is lost, delivered twice, or kept too long or without bound."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from smartbus.ipsc.mailbox import Mailbox, MailboxClosed
from smartbus.testing.waiting import TIMEOUT


def waiting(mailbox: Mailbox, count: int) -> None:
    """Wait until so many threads wait."""
    end = time.monotonic() + TIMEOUT
    while sum(map(len, mailbox._waiting.values())) != count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_notify_that_came_before_is_kept() -> None:
    mailbox = Mailbox()
    mailbox.deliver(b"t", b"text", 60)
    assert len(mailbox) == 1
    assert mailbox.wait(b"t", 0) == b"text"
    assert len(mailbox) == 0
    assert mailbox.wait(b"t", 0) is None


def test_a_notify_goes_to_who_waits_for_its_title() -> None:
    mailbox = Mailbox()
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(mailbox.wait, b"mine", 60)
        waiting(mailbox, 1)
        mailbox.deliver(b"other", b"no", 0)
        mailbox.deliver(b"mine", b"yes", 0)  # does not live long, but somebody waits
        assert got.result(TIMEOUT) == b"yes"
    assert len(mailbox) == 0


def test_notifies_of_a_title_keep_their_order() -> None:
    mailbox = Mailbox()
    for number in range(5):
        mailbox.deliver(b"t", b"%d" % number, 60)
    assert [mailbox.wait(b"t", 0) for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


def test_who_waits_longest_is_first() -> None:
    mailbox = Mailbox()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(mailbox.wait, b"t", 60)
        waiting(mailbox, 1)
        second = pool.submit(mailbox.wait, b"t", 60)
        waiting(mailbox, 2)
        mailbox.deliver(b"t", b"1", 60)
        mailbox.deliver(b"t", b"2", 60)
        assert (first.result(TIMEOUT), second.result(TIMEOUT)) == (b"1", b"2")


@pytest.mark.parametrize("expires", [0, -1, 0.01])
def test_what_has_expired_is_not_delivered(expires: float) -> None:
    mailbox = Mailbox()
    mailbox.deliver(b"t", b"old", expires)
    mailbox.deliver(b"t", b"new", 60)
    time.sleep(0.02)
    assert mailbox.wait(b"t", 0) == b"new"
    assert len(mailbox) == 0


def test_expired_notifies_make_room() -> None:
    mailbox = Mailbox(max_kept=3)
    mailbox.deliver(b"long", b"", 60)
    mailbox.deliver(b"short", b"", 0.01)
    mailbox.deliver(b"short", b"", 0.01)
    time.sleep(0.02)
    mailbox.deliver(b"next", b"", 60)
    assert len(mailbox) == 2
    assert mailbox.wait(b"long", 0) == b""
    assert mailbox.wait(b"next", 0) == b""


@pytest.mark.parametrize("bounds", [{"max_kept": 3}, {"max_bytes": 30}])
def test_the_oldest_goes_when_there_is_no_room(
    bounds: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    mailbox = Mailbox(**bounds)
    for number in range(5):
        mailbox.deliver(b"%d" % number, b"x" * 10, 60)
    assert len(mailbox) == 3
    assert [mailbox.wait(b"%d" % n, 0) for n in range(5)] == [None, None, *[b"x" * 10] * 3]
    assert caplog.text.count("dropped the oldest") == 2


def test_a_large_one_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    mailbox = Mailbox(max_bytes=10)
    mailbox.deliver(b"u", b"y", 60)
    mailbox.deliver(b"t", b"x" * 11, 60)
    assert "too large" in caplog.text
    assert mailbox.wait(b"u", 0) == b"y"
    assert mailbox.wait(b"t", 0) is None


def test_a_flood_is_bounded() -> None:
    mailbox = Mailbox(max_kept=1000)
    for number in range(5000):
        mailbox.deliver(b"%d" % number, b"", 60)
        assert len(mailbox) <= 1000
    assert len(mailbox) > 900
    assert mailbox.wait(b"4999", 0) == b""


def test_a_wait_ends_in_time() -> None:
    mailbox = Mailbox()
    begin = time.monotonic()
    assert mailbox.wait(b"t", 0.05) is None
    assert time.monotonic() - begin >= 0.05
    assert not mailbox._waiting


def test_close_ends_all_waits() -> None:
    mailbox = Mailbox()
    mailbox.deliver(b"kept", b"", 60)
    with ThreadPoolExecutor(3) as pool:
        waits = [pool.submit(mailbox.wait, b"t%d" % (n % 2), 60) for n in range(3)]
        waiting(mailbox, 3)
        mailbox.close()
        for wait in waits:
            with pytest.raises(MailboxClosed):
                wait.result(TIMEOUT)
    mailbox.deliver(b"t", b"late", 60)
    with pytest.raises(MailboxClosed):
        mailbox.wait(b"t", 0)
    assert len(mailbox) == 0


def test_each_notify_is_taken_once_under_load() -> None:
    # Given waits that time out just when their notify comes, in many threads
    mailbox = Mailbox()
    count, threads = 2000, 4
    taken: list[list[bytes]] = [[] for _ in range(threads)]
    done = threading.Event()

    def take(mine: list[bytes]) -> None:
        while not done.is_set() or len(mailbox):
            text = mailbox.wait(b"t", 0.0001)
            if text is not None:
                mine.append(text)

    with ThreadPoolExecutor(threads) as pool:
        waits = [pool.submit(take, mine) for mine in taken]
        for number in range(count):
            mailbox.deliver(b"t", b"%d" % number, 60)
        done.set()
        for wait in waits:
            wait.result(2 * TIMEOUT)
    everything = sorted(int(text) for mine in taken for text in mine)
    assert everything == list(range(count))
