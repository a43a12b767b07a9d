"""TensorBoard's logs: losses per step and per epoch, and pictures of what the model makes of data.

Events go through TensorBoard's own writer, which takes 5 to 20 microseconds a step where
`tf.summary.scalar` took 500, and draws nothing from any random state.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import pathlib
import struct
import threading
import time
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from padless.model.reporting.examples import ExampleSequence, pick_rows
from padless.model.reporting.picture import draw_examples
from padless.model.scoring.inference import read_windows
from padless.pipeline.batching.damage import explained
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.moments import scale_of
from padless.pipeline.dataset.names import TRAINING_SPLIT, VALIDATION_SPLIT
from padless.pipeline.dataset.records import parse_examples
from padless.pipeline.full_disk import full_disk_named
from padless.pipeline.wording import shown_key

_LOGGER = logging.getLogger(__name__)
_QUEUE_SIZE = 1000
_FLUSH_SECONDS = 10
_PREFIX = "val_"


class TensorBoardLog(keras.callbacks.Callback):
    """Writes what Keras' own callback writes, under the same names, and pictures.

    - `train/`: `batch_loss` after each step; `epoch_loss`, `epoch_learning_rate` and every other
      metric after each epoch.
    - `validation/`: `epoch_loss` and every other metric whose name begins with `val_`, so that
      TensorBoard shows both curves in one chart.
    - `reconstructions`, in the folder of the split shown: after the epochs 1, 2, 4, 8 and so on,
      and the last one, the same three sequences, a short, a middling and a long one.

    Steps and epochs count from 1, as in `steps.csv` and `history.csv`, and steps over the whole
    run, so that a resumed run continues the curves: of steps that it repeats, TensorBoard
    shows the later ones. Without matplotlib there are no pictures.

    Args:
        directory: the log directory.
        dataset: an opened dataset; of its validation split, if it has one, sequences are shown.
    """

    def __init__(self, directory: os.PathLike, dataset: SequenceDataset):
        super().__init__()
        self._directory, self._dataset = pathlib.Path(directory), dataset
        splits = (VALIDATION_SPLIT, TRAINING_SPLIT)
        self._split = next(split for split in splits if split in dataset.splits)

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Reads the sequences that are shown."""
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(_writers_quiet())
        self._writers: dict[str, EventFileWriter] = {}
        self._not_drawn: int | None = None
        self._shown: list[tuple[str, np.ndarray]] = []
        if importlib.util.find_spec("matplotlib"):
            self._shown = read_some(self._dataset, self._split)
        else:
            _LOGGER.info(
                "no pictures in the TensorBoard logs: they need matplotlib, "
                "`pip install 'padless[plot]'`"
            )
        signature = [tf.TensorSpec((None, None, self.model.num_features), tf.float32)]
        self._reconstruct = tf.function(self.model.call, input_signature=signature, autograph=False)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Notes the epoch."""
        self._epoch, self._not_drawn = epoch, None

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes the metrics of a step."""
        step = self._epoch * self.params["steps"] + batch + 1
        for name, value in (logs or {}).items():
            self._write_scalar(TRAINING_SPLIT, step, f"batch_{name}", value)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes the metrics of an epoch, and a picture if one is due."""
        logs = {**(logs or {})} | {"learning_rate": _learning_rate(self.model)}
        for name, value in logs.items():
            split = VALIDATION_SPLIT if name.startswith(_PREFIX) else TRAINING_SPLIT
            self._write_scalar(split, epoch + 1, f"epoch_{name.removeprefix(_PREFIX)}", value)
        self._not_drawn = epoch + 1
        if (epoch + 1).bit_count() == 1:
            self._draw()
        with full_disk_named(self._directory):
            for writer in self._writers.values():
                writer.flush()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Draws the last epoch, unless the training ends within one, and closes the files."""
        with self._quiet, full_disk_named(self._directory):
            if self._not_drawn is not None:
                self._draw()
            for writer in self._writers.values():
                writer.close()

    def _write_scalar(self, folder: str, step: int, tag: str, value: float) -> None:
        self._write(folder, step, Summary.Value(tag=tag, simple_value=float(value)))

    def _write(self, folder: str, step: int, value: Summary.Value) -> None:
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=[value]))
        with full_disk_named(path := self._directory / folder):
            if folder not in self._writers:
                self._writers[folder] = EventFileWriter(str(path), _QUEUE_SIZE, _FLUSH_SECONDS)
            self._writers[folder].add_event(event)

    def _draw(self) -> None:
        epoch, self._not_drawn = self._not_drawn, None
        if not self._shown or epoch is None:
            return
        examples = [self._example(key, sequence) for key, sequence in self._shown]
        title = f"{self._split}, after epoch {epoch}"
        image = as_image(draw_examples(examples, self._dataset, title=title))
        self._write(self._split, epoch, Summary.Value(tag="reconstructions", image=image))

    def _example(self, key: str, sequence: np.ndarray) -> ExampleSequence:
        reconstruction = self._reconstruct(sequence[None])[0].numpy()
        moments = self._dataset.moments
        scale = 1.0 if moments is None else scale_of(moments.variance)
        error = float(np.square((reconstruction - sequence) / scale).mean())
        return ExampleSequence(key, error, sequence, reconstruction)


@contextlib.contextmanager
def _writers_quiet() -> Iterator[None]:
    """Keeps the threads of TensorBoard's writers from printing what they raise.

    The next call of the writer raises the same.
    """
    before = threading.excepthook

    def show(args: threading.ExceptHookArgs) -> None:
        if type(args.thread).__module__ != EventFileWriter.__module__:
            before(args)

    threading.excepthook = show
    try:
        yield
    finally:
        if threading.excepthook is show:
            threading.excepthook = before


def _learning_rate(model: keras.Model) -> float:
    # Under a strategy it is a variable that `float` does not take.
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def read_some(dataset: SequenceDataset, split: str) -> list[tuple[str, np.ndarray]]:
    """Reads a short, a middling and a long sequence: the same ones from the same data.

    They are looked for in the first window of records, as the order of the records tells nothing
    of them: it is that of a hash of their keys.

    Returns:
        Key and sequence `(timesteps, features)` of each.

    Raises:
        ValueError: if the records are damaged; names the file.
    """
    source, found = dataset.split(split), []
    with explained(source):
        window = next(read_windows(source, dataset.record_format))
        for row in pick_rows(window["length"]):
            record = parse_examples(window["serialized"][[row]], dataset.record_format)
            key = shown_key(record["key"].numpy()[0]) if "key" in record else ""
            found.append((key, record["sequence"].numpy()[0]))
    return found


def as_image(png: bytes) -> Summary.Image:
    """Wraps a PNG for TensorBoard; width and height are in its header."""
    width, height = struct.unpack(">II", png[16:24])
    return Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
