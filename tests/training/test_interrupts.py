"""Signals during training."""

from __future__ import annotations

import signal

import pytest

from nsad_cli.training.interrupts import InterruptCallback


def test_a_repeated_sigterm_lets_training_finish_its_step() -> None:
    callback = InterruptCallback()
    with callback.handling_signals():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert callback.interrupted
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
