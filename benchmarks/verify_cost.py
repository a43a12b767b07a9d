"""Measures the verification of a dataset, by part of the work.

    python benchmarks/verify_cost.py [--sequences 100000] [--features 12] [--repeats 3]

The table shows the CPU time of this process, the minimum of the repeats. The first two rows are
reading alone.
"""

import argparse
import collections
import tempfile
import time

import google_crc32c
from etils import epath
from generated import write_dataset as write_records

import padless
from padless.pipeline import verify_dataset
from padless.pipeline.dataset.contract import RecordContract
from padless.pipeline.dataset.framing import read_records, scan_records
from padless.pipeline.dataset.metadata import ShardSummary, encode_metadata
from padless.pipeline.dataset.moments import Moments, merge_moments
from padless.pipeline.dataset.names import shard_name
from padless.pipeline.dataset.provenance import Made
from padless.pipeline.dataset.records import decode_example


def write_dataset(directory, num_sequences, num_features):
    """Writes a dataset directory of one split."""
    files = write_records(directory, num_sequences, num_features).splits["train"].files
    shards = []
    for shard, file in enumerate(files):
        path = file.rename(file.parent / shard_name("generated", "train", shard, len(files)))
        shards.append(summarize(path, shard, num_features))
    encoded = encode_metadata(
        shards,
        name="generated",
        num_shards={"train": len(files)},
        contract=RecordContract(num_features, has_label=False),
        feature_names=None,
        made=Made(
            padless=padless.__version__,
            seed=0,
            splits=(("train", 1.0),),
            order="hash",
            rules={},
            report=None,
        ),
    )
    for file, data in encoded.items():
        (directory / file).write_bytes(data)


def summarize(path, shard, num_features):
    sequences = [
        decode_example(record)["sequence"].reshape(-1, num_features)
        for record in read_records(path)
    ]
    data = path.read_bytes()
    return ShardSummary(
        split="train",
        shard=shard,
        num_bytes=len(data),
        lengths=collections.Counter(map(len, sequences)),
        moments=merge_moments(map(Moments.of, sequences)),
        crc32c=google_crc32c.value(data),
    )


def scan(directory, *, decode):
    for path in directory.glob("*.tfrecord-*"):
        with path.open("rb") as file:
            for record in scan_records(file):
                if decode:
                    decode_example(record.data)


def least_cpu_seconds(work, repeats):
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def verify(directory):
    report = verify_dataset(directory)
    if not report.ok:
        raise RuntimeError(str(report))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = epath.Path(folder)
        write_dataset(directory, args.sequences, args.features)
        num_bytes = sum(path.stat().length for path in directory.glob("*.tfrecord-*"))
        print(f"{args.sequences:,} records of {args.features} features, {num_bytes:,} bytes")
        for name, work in {
            "records read, CRCs checked": lambda: scan(directory, decode=False),
            "decoded as well": lambda: scan(directory, decode=True),
            "verified": lambda: verify(directory),
        }.items():
            seconds = least_cpu_seconds(work, args.repeats)
            rate, megabytes = args.sequences / seconds, num_bytes / seconds / 1e6
            print(f"{name:<28} {seconds:6.2f} CPU s  {rate:9,.0f} records/s  {megabytes:5.0f} MB/s")


if __name__ == "__main__":
    main()
