"""Deciding registrations: in turn, bounded, and off the caller's thread."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

import pytest

from smartbus.bus import PasswordFile, Registration
from smartbus.bus.gate import MAX_WAITING, Gate
from smartbus.testing.waiting import TIMEOUT

DEADLINE = TIMEOUT


def registration(link: int, host: str = "10.0.0.1", user: str = "anna") -> Registration:
    return Registration(20, 1, 18, link, False, user, b"geheim", "", "", f"{host}:{link}")


def test_hosts_take_turns() -> None:
    go_on = threading.Event()
    begun = threading.Event()
    answers: queue.Queue[tuple[int, int]] = queue.Queue()

    def decide(asked: Registration) -> int:
        begun.set()
        assert go_on.wait(DEADLINE)
        return -asked.link

    gate = Gate(decide, lambda link, code: answers.put((link, code)))
    gate.ask(registration(0, "10.9.9.9"))
    assert begun.wait(DEADLINE)  # from here on all others wait
    for link in range(1, 101):
        assert gate.ask(registration(link))  # a flood from one host
    assert gate.ask(registration(200, "10.0.0.2"))
    go_on.set()
    order = [answers.get(timeout=DEADLINE) for _ in range(102)]
    assert all(code == -link for link, code in order)
    links = [link for link, _ in order]
    assert links.index(200) <= 2
    assert [link for link in links if link != 200] == list(range(101))
    gate.close()


def test_the_queue_is_bounded() -> None:
    go_on = threading.Event()
    begun = threading.Event()

    def decide(_: Registration) -> int:
        begun.set()
        go_on.wait(DEADLINE)
        return 0

    gate = Gate(decide, lambda *_: None)
    gate.ask(registration(0))
    assert begun.wait(DEADLINE)
    assert all(gate.ask(registration(link)) for link in range(MAX_WAITING))
    assert not gate.ask(registration(9999))
    go_on.set()
    gate.close()


def test_known_outcomes_are_answered_at_once(tmp_path: Path) -> None:
    path = tmp_path / "users"
    PasswordFile.add(path, "anna", "geheim")
    users = PasswordFile(path)
    answers: list[tuple[int, int, str]] = []
    answered = threading.Condition()

    def answer(link: int, code: int) -> None:
        with answered:
            answers.append((link, code, threading.current_thread().name))
            answered.notify()

    gate = Gate(users, answer)
    gate.ask(registration(1))
    with answered:
        assert answered.wait_for(lambda: answers, DEADLINE)
    gate.ask(registration(2))
    gate.ask(registration(3, user="nobody"))
    assert [answer[:2] for answer in answers] == [(1, 0), (2, 0), (3, -5)]
    here = threading.current_thread().name
    assert [thread == here for _, _, thread in answers] == [False, True, True]
    gate.close()


@pytest.mark.parametrize("bad", ["raises", "no number", "huge"])
def test_a_bad_decision_refuses(bad: str, caplog: pytest.LogCaptureFixture) -> None:
    answers: queue.Queue[int] = queue.Queue()

    def decide(_: Registration) -> int:
        if bad == "raises":
            raise RuntimeError("no idea")
        return None if bad == "no number" else 1 << 40  # type: ignore[return-value]

    gate = Gate(decide, lambda _, code: answers.put(code))
    gate.ask(registration(1))
    assert answers.get(timeout=DEADLINE) == -99
    gate.close()
    assert ("raised" in caplog.text) == (bad != "huge")


def test_close_in_a_decision() -> None:
    done = threading.Event()

    def decide(_: Registration) -> int:
        gate.close()
        done.set()
        return 0

    gate = Gate(decide, lambda *_: None)
    gate.ask(registration(1))
    assert done.wait(DEADLINE)
