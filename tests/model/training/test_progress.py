"""What is shown of a training while it runs."""

import re
import time

import pytest

from padless.model.training.progress import ProgressDisplay


def play(display, *, epoch=0, steps=range(100), seconds=0.0, of=100):
    """Calls a display as the loop does, each step taking so many seconds."""
    display.set_params({"steps": of, "epochs": 3, "verbose": 1})
    display.on_epoch_begin(epoch)
    for step in steps:
        display.on_train_batch_begin(step)
        time.sleep(seconds)
        display.on_train_batch_end(step, {"loss": float(step)})


def test_display_shows_steps_rate_time_left_and_mean_loss(capsys):
    play(ProgressDisplay(bar=False, seconds=0), steps=range(4), seconds=0.02, of=50)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    found = re.fullmatch(
        r"epoch 1/3: step 4 of 50, ([\d.]+) steps/s, ([\d.]+) s left, loss 1.5000", lines[-1]
    )
    assert 5 < float(found[1]) <= 50
    assert float(found[2]) == pytest.approx(46 / float(found[1]), rel=0.1)


def test_display_of_a_resumed_epoch_counts_only_what_was_done_since(capsys):
    play(ProgressDisplay(bar=False, seconds=0), steps=range(90, 93), seconds=0.05)
    line = capsys.readouterr().out.splitlines()[-1]
    assert "step 93 of 100, " in line
    assert float(re.search(r"([\d.]+) steps/s", line)[1]) <= 20
    assert line.endswith("loss 91.0000")


def test_display_is_silent_until_a_minute_is_over(capsys):
    play(ProgressDisplay(bar=False))
    assert capsys.readouterr().out == ""


def test_display_ends_an_epoch_with_all_metrics(capsys):
    display = ProgressDisplay(bar=False)
    play(display, epoch=1)
    display.on_epoch_end(1, {"loss": 0.5, "val_loss": 2e-5})
    assert re.fullmatch(
        r"epoch 2/3: 100 steps in 0.\d s, [\d,]+ steps/s, loss 0.5000, val_loss 2.0e-05\n",
        capsys.readouterr().out,
    )


def test_display_ends_an_epoch_that_was_resumed_behind_its_last_step(capsys):
    display = ProgressDisplay(bar=False)
    play(display, steps=())
    display.on_epoch_end(0, {"loss": 0.5})
    assert re.fullmatch(r"epoch 1/3: 100 steps in 0.\d s, loss 0.5000\n", capsys.readouterr().out)


def test_bar_is_redrawn_in_its_line_and_leaves_nothing_behind(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    display = ProgressDisplay(bar=True, seconds=0)
    play(display, steps=range(50))
    display.on_epoch_end(0, {"loss": 0.5})
    (text, rest) = capsys.readouterr().out.split("\n")
    assert rest == ""
    drawn = text.split("\r")
    assert re.match(r"epoch 1/3: ━{10}─{10} 50/100, ", drawn[-2])
    assert drawn[-1].rstrip().endswith("loss 0.5000")
    assert len(drawn[-1]) >= len(drawn[-2].rstrip())


def test_bar_fits_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    play(ProgressDisplay(bar=True, seconds=0), steps=range(3))
    assert max(map(len, capsys.readouterr().out.split("\r"))) == 39


def test_bar_cut_short_gives_its_line_up(capsys):
    display = ProgressDisplay(bar=True, seconds=0)
    play(display, steps=range(3))
    display.on_train_end()
    display.on_train_end()
    assert capsys.readouterr().out.count("\n") == 1


def test_train_prints_a_line_per_epoch(train_small, validated_dataset, capsys):
    train_small(validated_dataset, verbose=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    for i, line in enumerate(lines):
        assert re.match(
            rf"epoch {i + 1}/2: 4 steps in .* loss 0.\d+, val_loss 0.\d+, length_c", line
        )
    assert len(lines) == 2
