"""How Beam is run: runners, workers, interrupts, logs, progress."""
