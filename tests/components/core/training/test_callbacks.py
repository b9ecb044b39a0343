from __future__ import annotations

import logging
import os
import signal

import pytest
from transformers import TrainerControl, TrainerState

from components.core.stage.errors import StageError
from components.core.training.callbacks import StopOnSignal

LOG = logging.getLogger("test")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops_after_the_step(number):
    before = signal.getsignal(number)
    control, state = TrainerControl(), TrainerState(global_step=3, max_steps=9)
    stop = StopOnSignal(LOG)
    with stop.installed():
        stop.on_step_end(None, state, control)
        assert not control.should_training_stop
        os.kill(os.getpid(), number)
        stop.on_step_end(None, state, control)
    assert control.should_save and control.should_training_stop
    assert signal.getsignal(number) is before
    with pytest.raises(StageError, match=f"stopped by {number.name} after step 3 of 9"):
        stop.raise_if_early(state)


@pytest.fixture
def interruptible():
    """Python's own handler: what a shell starts in the background ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_signal_acts_at_once(interruptible):
    with StopOnSignal(LOG).installed():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_updates_that_belong_together_are_finished_first():
    control = TrainerControl()
    stop = StopOnSignal(LOG, every_steps=2)
    stop.received = signal.SIGTERM
    stop.on_step_end(None, TrainerState(global_step=3, max_steps=9), control)
    assert not control.should_training_stop
    stop.on_step_end(None, TrainerState(global_step=4, max_steps=9), control)
    assert control.should_training_stop


def test_a_signal_in_the_last_step_changes_nothing():
    stop = StopOnSignal(LOG)
    stop.received = signal.SIGTERM
    stop.raise_if_early(TrainerState(global_step=9, max_steps=9))
