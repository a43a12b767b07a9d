"""Draws sequences beside their reconstructions: the least, the median and the most anomalous one.

Raw files are scored with a trained run, as `padless score` does it. The picture shows the features
that vary most in each sequence, in units of the training standard deviation.

    python draw_scores.py RUN FILE... --label-column LABEL --output PICTURE
"""

import argparse

import numpy as np
from matplotlib.figure import Figure

from padless.beam_jobs import RAW_SPLIT, Columns, open_raw
from padless.model import open_run
from padless.pipeline import equal_length_batches, plan_batches

NUM_FEATURES = 3


def score_rows(run, dataset):
    """Returns a dict per sequence with its values, its score and its p-value, by rising score."""
    plan = plan_batches(dataset.split(RAW_SPLIT).lengths)
    rows = []
    for batch in equal_length_batches(dataset, plan, split=RAW_SPLIT):
        batch |= run.model.analyze(batch["sequence"])
        p_value = run.calibration.p_values(batch["length"].numpy(), batch["score"].numpy())
        columns = {name: values.numpy() for name, values in batch.items()} | {"p_value": p_value}
        rows += [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
    return sorted(rows, key=lambda row: row["score"])


def draw_row(axes, row, run, names):
    """Draws one sequence as lines and its reconstruction as dashed lines."""
    moments, sequence = run.open_dataset().moments, row["sequence"]
    both = np.stack([sequence, run.model(sequence[None])[0]])
    original, reconstruction = (both - moments.mean) / np.sqrt(moments.variance)
    chosen = np.argsort(-np.ptp(original, axis=0))[:NUM_FEATURES]
    for color, feature in enumerate(chosen.tolist()):
        axes.plot(original[:, feature], color=f"C{color}", label=names[feature])
        axes.plot(reconstruction[:, feature], color=f"C{color}", linestyle="--")
    score = f"score {row['score']:.2f}, p-value {row['p_value']:.2f}"
    axes.set_title(f"{row['key'].decode()}\n{score}", parse_math=False)
    axes.set_xlabel("timestep")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper center", ncols=NUM_FEATURES, frameon=False)
    return score


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="what `padless train` wrote")
    parser.add_argument("files", nargs="+", help="raw files")
    parser.add_argument("--label-column")
    parser.add_argument("--output", default="scores.png", help="image file to write")
    args = parser.parse_args(argv)

    run = open_run(args.run)
    with open_raw(
        args.files, columns=Columns(label=args.label_column), rules=run.config.rules
    ) as raw:
        rows = score_rows(run, raw.dataset)
        names = raw.dataset.feature_names
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    all_axes = figure.subplots(1, 3, sharey=True)
    for axes, row in zip(all_axes, (rows[0], rows[len(rows) // 2], rows[-1]), strict=True):
        print(f"{row['key'].decode()}: {draw_row(axes, row, run, names)}")
    low, high = all_axes[0].get_ylim()
    all_axes[0].set_ylim(low, high + 0.15 * (high - low))  # room for the legends
    all_axes[0].set_ylabel("training standard deviations\n(reconstruction dashed)")
    figure.savefig(args.output, dpi=80)


if __name__ == "__main__":
    main()
