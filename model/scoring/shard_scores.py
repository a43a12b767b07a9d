"""A run that scores shards, loaded once per process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from padless.model.scoring.inference import SCORED, SCORED_AND_TIMESTEPS
from padless.model.scoring.run import Run
from padless.model.scoring.scores_file import (
    warn_not_finite,
    warn_of_other_lengths,
    write_parquet,
)
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.shards import Shard
from padless.pipeline.progress import ShowProgress

_NOT_FINITE = "not_finite"


class ShardScores:
    """Writes the scores of shards; several threads may do so at a time.

    Args:
        run: a finished run.
        name_splits: see `Run.write_scores`, as what follows.
        level: largest p-value of what is called an anomaly.
        timesteps: whether to write the errors of timesteps.
    """

    def __init__(
        self,
        run: Run,
        *,
        name_splits: bool = True,
        level: float | None = None,
        timesteps: bool = False,
    ):
        run.check_finished()
        self._run, self._name_splits, self._level = run, name_splits, level
        outputs = SCORED_AND_TIMESTEPS if timesteps else SCORED
        self._inference = run.inference(outputs)

    def check(self, dataset: SequenceDataset) -> None:
        """Checks that the run takes the sequences of a dataset; raises a `ValueError` if not."""
        self._run.check_features(dataset)

    def begin(self, dataset: SequenceDataset, splits: Sequence[str] | None) -> None:
        """Warns of sequences much shorter or longer than all that p-values compare with."""
        warn_of_other_lengths(self._run.calibration, dataset, splits)

    def write(self, shard: Shard, output: str, progress: ShowProgress) -> Mapping[str, int]:
        """Writes the scores of a shard; returns how many there are, and how many are not finite.

        Raises:
            FileNotFoundError: if the shard is missing.
            ValueError: if its records are damaged, or a key is not UTF-8.
        """
        not_finite: list[int] = []
        num_rows = write_parquet(
            self._inference,
            shard.open(),
            output,
            name_splits=self._name_splits,
            calibration=self._run.calibration,
            level=self._level,
            tell_not_finite=not_finite.append,
            progress=progress,
        )
        return {"sequences": num_rows, _NOT_FINITE: sum(not_finite)}

    def report(self, output: str, counts: Mapping[str, int]) -> None:
        """Warns of scores that are not finite."""
        warn_not_finite(output, counts[_NOT_FINITE], counts["sequences"])
