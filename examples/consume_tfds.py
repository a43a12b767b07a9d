"""Opens a padless dataset with TensorFlow Datasets, without padless.

The directory carries its own description, so `tfds.builder_from_directory` knows its features,
splits and sizes, and reads it like any dataset of the catalogue.

    python consume_tfds.py DATASET_DIRECTORY
"""

import argparse

import tensorflow_datasets as tfds


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="what `padless preprocess` wrote")
    parser.add_argument("--split", default="train", help="or a part of one, such as 'train[:10%%]'")
    parser.add_argument("--take", type=int, default=5, help="sequences to print")
    args = parser.parse_args(argv)

    builder = tfds.builder_from_directory(args.directory)
    print(f"dataset {builder.info.name}")
    for name, feature in builder.info.features.items():
        print(f"feature {name}: {feature}")
    for name, split in builder.info.splits.items():
        print(f"split {name}: {split.num_examples} sequences in {split.num_shards} shards")

    # Sequences come one by one, `(timesteps, features)` each, as `batch` would need equal lengths.
    for example in tfds.as_numpy(builder.as_dataset(split=args.split).take(args.take)):
        key, sequence = example["key"].decode(), example["sequence"]
        print(f"sequence {key}: length {example['length']}, shape {sequence.shape}")


if __name__ == "__main__":
    main()
