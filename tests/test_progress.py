"""What is seen of a progress bar in a notebook."""

import threading

import pytest

from embedlab.progress import Progress


@pytest.fixture
def shown(monkeypatch):
    """What a notebook is told to show."""
    seen = []

    class Handle:
        def update(self, bar):
            pass

    def display(bar, display_id):
        seen.append(bar.label)
        return Handle()

    monkeypatch.setattr("embedlab.progress._in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    return seen


def test_a_bar_inside_another_one_is_not_shown(shown):
    with Progress("outer", 2), Progress("inner", 3):
        pass
    assert shown == ["outer"]


def test_nothing_is_shown_inside_one_that_is_not_worth_showing(shown):
    with Progress("outer", 2, worth_showing=False), Progress("inner", 3):
        pass
    assert shown == []


def test_a_bar_of_another_thread_is_not_shown_and_hides_none(shown):
    is_open, leave = threading.Event(), threading.Event()

    def work():
        with Progress("elsewhere", 1):
            is_open.set()
            leave.wait(10)

    other = threading.Thread(target=work)
    other.start()
    is_open.wait(10)
    with Progress("here", 1):
        pass
    leave.set()
    other.join()
    assert shown == ["here"]


def test_a_note_stands_behind_the_numbers_and_stays():
    with Progress("Training", 4) as bar:
        bar.note = "validation ▁█ 0.500"
        bar.advance(4)
    assert repr(bar).endswith("4 of 4, validation ▁█ 0.500")
