"""The scores of one shard at a time, for workers that get the job by pickle.

It imports TensorFlow only when the work is opened, without TensorFlow's notes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from padless.pipeline.paths import make_absolute
from padless.pipeline.tensorflow_start import start_tensorflow

if TYPE_CHECKING:
    from padless.model.scoring.run import Run
    from padless.model.scoring.shard_scores import ShardScores


@dataclasses.dataclass(frozen=True, slots=True)
class ShardScorer:
    """Scores shards of datasets, for `padless.beam_jobs.write_parts`; can be pickled.

    Attributes:
        run: directory of a finished run, by an absolute path.
        model_digest: of the file of its model, so that all workers load the same one.
        name_splits: whether to write the column `split`.
        level: see `Run.write_scores`.
        timesteps: see `Run.write_scores`.

    Example:
        >>> from padless.beam_jobs import write_parts  # doctest: +SKIP
        >>> scorer = ShardScorer.of(open_run("run"))  # doctest: +SKIP
        >>> write_parts(scorer, "data", "scores").counts["sequences"]  # doctest: +SKIP
        370
    """

    work: ClassVar[str] = "score"
    suffix: ClassVar[str] = ".parquet"

    run: str
    model_digest: str
    name_splits: bool = True
    level: float | None = None
    timesteps: bool = False

    @classmethod
    def of(
        cls,
        run: Run,
        *,
        name_splits: bool = True,
        level: float | None = None,
        timesteps: bool = False,
    ) -> ShardScorer:
        """Makes one of a finished run.

        Args:
            run: the run.
            name_splits: see `Run.write_scores`, as what follows.
            level: largest p-value of what is called an anomaly.
            timesteps: whether to write the errors of timesteps.

        Raises:
            FileNotFoundError: if the training has not finished.
            ValueError: if a file is damaged, or no p-value reaches the level.
        """
        from padless.model.scoring.calibration import check_level, digest_model

        run.check_finished()
        if level is not None:
            check_level(level, run.calibration.length)
        directory = make_absolute(run.directory)
        return cls(directory, digest_model(run.directory), name_splits, level, timesteps)

    def open(self) -> ShardScores:
        """Loads the run.

        Raises:
            FileNotFoundError: if the run is missing, or not finished.
            ValueError: if its model is another one by now.
        """
        start_tensorflow()
        from padless.model.scoring.calibration import digest_model
        from padless.model.scoring.run import open_run
        from padless.model.scoring.shard_scores import ShardScores

        run = open_run(self.run)
        scores = ShardScores(
            run, name_splits=self.name_splits, level=self.level, timesteps=self.timesteps
        )
        if digest_model(run.directory) != self.model_digest:
            raise ValueError(f"{self.run}: the run must stay as it is, its model was replaced.")
        return scores
