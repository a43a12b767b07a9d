"""Trains your own Keras model on equal-length batches, with plain `fit`.

A GRU predicts the label of a sequence. It needs no mask, as no batch holds a padded timestep, and
the plan knows the number of batches before the first one is read. For one device only: under a
strategy, `fit` averages the means of replicas that hold unequal work, which is not the true mean.

    python train_own_model.py DATASET_DIRECTORY
"""

import argparse

import keras

from padless.pipeline import Shuffle, equal_length_batches, open_dataset, plan_batches


def build_model(moments, num_classes):
    """Builds a classifier of sequences of any length, in raw units."""
    model = keras.Sequential(
        [
            keras.Input((None, len(moments.mean))),
            keras.layers.Normalization(mean=moments.mean, variance=moments.variance),
            keras.layers.GRU(32),
            keras.layers.Dense(num_classes, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(1e-2),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # XLA would compile the model anew for every length
    )
    return model


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="what `padless preprocess` wrote, with labels")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    keras.utils.set_random_seed(args.seed)
    dataset = open_dataset(args.directory)
    classes = keras.layers.StringLookup(num_oov_indices=0)

    def read(split, **options):
        plan = plan_batches(dataset.split(split).lengths, batch_size=args.batch_size)
        return plan, equal_length_batches(dataset, plan, split=split, **options)

    def to_keras(batch):
        return batch["sequence"], classes(batch["label"])

    classes.adapt(read("train")[1].map(lambda batch: batch["label"]))
    model = build_model(dataset.moments, classes.vocabulary_size())
    # One dataset holds all epochs: `fit` takes `plan.num_batches` of it for each.
    plan, batches = read("train", shuffle=Shuffle(args.seed), epochs=range(args.epochs))
    print(f"{plan.num_sequences} sequences, {plan.num_batches} batches per epoch")
    options = {"steps_per_epoch": plan.num_batches, "epochs": args.epochs}
    fitted = model.fit(batches.map(to_keras), **options, shuffle=False, verbose=0)
    for epoch, accuracy in enumerate(fitted.history["accuracy"]):
        print(f"epoch {epoch}: accuracy {accuracy:.3f}")

    _, batches = read("validation")
    _, accuracy = model.evaluate(batches.map(to_keras), verbose=0)
    print(f"validation: accuracy {accuracy:.3f}, by chance {1 / classes.vocabulary_size():.3f}")


if __name__ == "__main__":
    main()
