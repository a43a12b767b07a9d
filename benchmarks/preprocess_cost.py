"""Measures preprocessing: sequences per CPU second of three ways to write the same records.

    python benchmarks/preprocess_cost.py [--sequences 50000] [--features 12] [--repeats 2]

All read the same Parquet files of lognormal lengths, one row per sequence, and write the same
features as TFRecords:

- plain: a Python loop with `tf.train.Example` and `tf.io.TFRecordWriter`, no checks, no mixing;
- tfds: tensorflow-datasets' own Beam builder, on Beam's local runner;
- padless: `padless preprocess`, in one process and with a worker process per core.

Each way is its own process, so its start and imports count. The ways alternate; the table shows the
minimum CPU time of the repeats.
"""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pyarrow.parquet as pq
from measured_process import run_measured
from raw_parquet import write_parquet


def read_rows(path):
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1000):
        sequences = batch.column("sequence")
        num_features = len(sequences[0][0])
        values = sequences.values.values.to_numpy().reshape(-1, num_features)
        offsets = sequences.offsets.to_numpy() - sequences.offsets[0].as_py()
        for i, key in enumerate(batch.column("key").to_pylist()):
            yield key, values[offsets[i] : offsets[i + 1]]


def run_plain(raw, output, _):
    import tensorflow as tf

    os.mkdir(output)
    with tf.io.TFRecordWriter(f"{output}/plain.tfrecord") as writer:
        for path in sorted(pathlib.Path(raw).iterdir()):
            for key, sequence in read_rows(path):
                feature = {
                    "key": tf.train.Feature(bytes_list=tf.train.BytesList(value=[key.encode()])),
                    "length": tf.train.Feature(
                        int64_list=tf.train.Int64List(value=[len(sequence)])
                    ),
                    "sequence": tf.train.Feature(
                        float_list=tf.train.FloatList(value=sequence.ravel().tolist())
                    ),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())


def run_tfds(raw, output, num_features):
    import apache_beam as beam
    import tensorflow_datasets as tfds
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    class Generated(tfds.core.BeamBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "key": tfds.features.Text(),
                "length": np.int64,
                "sequence": tfds.features.Tensor(shape=(None, int(num_features)), dtype=np.float32),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            paths = sorted(map(str, pathlib.Path(raw).iterdir()))
            return {"train": beam.Create(paths) | beam.FlatMap(read_examples)}

        def _generate_examples(self):
            raise NotImplementedError

    Generated(data_dir=output).download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            beam_runner=FnApiRunner(), try_download_gcs=False
        )
    )


def read_examples(path):
    for key, sequence in read_rows(path):
        yield key, {"key": key, "length": len(sequence), "sequence": sequence}


def measure(way, raw, output, num_features):
    padless = [sys.executable, "-m", "padless.cli.main", "preprocess", f"{raw}/*.parquet"]
    commands = {
        "padless, one process": [*padless, "--runner=FnApiRunner", "--output", output],
        "padless": [*padless, "--output", output],
    }
    own = [sys.executable, __file__, "--way", way, raw, output, str(num_features)]
    measured = run_measured(commands.get(way, own))
    shutil.rmtree(output)
    return measured


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--way", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        way, *arguments = args.way
        return {"plain": run_plain, "tfds": run_tfds}[way](*arguments)
    ways = ("plain", "tfds", "padless, one process", "padless")
    with tempfile.TemporaryDirectory() as folder:
        raw = f"{folder}/raw"
        write_parquet(raw, args.sequences, args.features)
        runs = [
            [measure(way, raw, f"{folder}/out", args.features) for way in ways]
            for _ in range(args.repeats)
        ]
    print(f"{args.sequences:,} sequences of {args.features} features")
    print("way                   CPU seconds  seconds  sequences/CPU second  against plain")
    best = [min((run[i] for run in runs), key=lambda m: m.cpu_seconds) for i in range(len(ways))]
    for way, least in zip(ways, best, strict=True):
        print(
            f"{way:21} {least.cpu_seconds:11.1f} {least.seconds:8.1f} "
            f"{args.sequences / least.cpu_seconds:21,.0f} "
            f"{best[0].cpu_seconds / least.cpu_seconds:14.2f}"
        )
    return None


if __name__ == "__main__":
    main()
