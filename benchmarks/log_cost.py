"""Measures the TensorBoard log beside the epochs of the same run.

    python benchmarks/log_cost.py DATASET [--epochs 40] [--batch-size 16]

A small model is trained on a dataset directory. Then the calls to the log for all its steps and
epochs are repeated without the training between them.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
import time

from padless.model import TrainingOptions, load_model, train
from padless.model.training.tensorboard_log import TensorBoardLog
from padless.pipeline import open_dataset


def replay(log: TensorBoardLog, epochs: int, steps: int) -> tuple[float, float, list[float]]:
    """Returns the seconds of all steps, of the epochs without a picture, and of each picture."""
    of_steps, of_epochs, of_pictures = 0.0, 0.0, []
    log.set_params({"epochs": epochs, "steps": steps})
    log.on_train_begin()
    for epoch in range(epochs):
        log.on_epoch_begin(epoch)
        start = time.perf_counter()
        for step in range(steps):
            log.on_train_batch_end(step, {"loss": 0.5})
        middle = time.perf_counter()
        log.on_epoch_end(epoch, {"loss": 0.5, "val_loss": 0.5})
        end = time.perf_counter()
        of_steps += middle - start
        if (epoch + 1).bit_count() == 1:
            of_pictures.append(end - middle)
        else:
            of_epochs += end - middle
    start = time.perf_counter()
    log.on_train_end()
    return of_steps, of_epochs, [*of_pictures, time.perf_counter() - start]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=16)
    args = parser.parse_args()
    options = TrainingOptions(epochs=args.epochs, batch_size=args.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        report = train(args.dataset, run, options=options)
        model = load_model(run)
        model.compile(optimizer="adam")
        log = TensorBoardLog(pathlib.Path(folder) / "log", open_dataset(args.dataset))
        log.set_model(model)
        steps, epochs, pictures = replay(log, args.epochs, report.steps // args.epochs)
    print(f"{report.epochs} epochs, {report.steps} steps: {report.seconds:.2f} s")
    rows = {"metrics of steps": steps, "metrics of epochs": epochs, "pictures": sum(pictures)}
    for name, seconds in rows.items():
        print(f"{name:<18}{seconds:>8.3f} s{seconds / report.seconds:>8.1%} of the epochs")
    typical = sorted(pictures)[len(pictures) // 2]
    print(
        f"{len(pictures)} pictures, the first (it traces the model) {pictures[0]:.2f} s, ", end=""
    )
    print(f"the median one {typical:.2f} s: {typical / report.seconds * args.epochs:.1f} epochs")


if __name__ == "__main__":
    main()
