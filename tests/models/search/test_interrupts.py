"""Ctrl-C in a search: held back while its file is written, heard while it waits."""

from __future__ import annotations

import os
import signal

import pytest

from models.search.interrupts import interrupts_held_back


@pytest.fixture(autouse=True)
def _ctrl_c():
    """As in a terminal, also where a shell began the tests in its background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_next_wait():
    """What came while it was held back is heard on entering the wait, which is then not begun."""
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_held_back() as waiting:
        with waiting():
            done.append("nothing came")
        os.kill(os.getpid(), signal.SIGINT)
        done.append("written")
        with waiting():
            done.append("waited")
    assert done == ["nothing came", "written"]


def test_an_interrupt_after_the_last_wait_is_not_lost():
    """It is heard when all is written."""
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_held_back():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("written")
    assert done == ["written"]


def test_an_interrupt_ends_a_wait():
    """It is raised where it finds the process."""
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_held_back() as waiting, waiting():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("waited")
    assert not done


def test_the_handler_of_before_comes_back():
    """Also after an error."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), interrupts_held_back():
        assert signal.getsignal(signal.SIGINT) is not before
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_ignored_stays_ignored():
    """A shell without job control has its background jobs ignore the terminal's Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts_held_back() as waiting, waiting():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
