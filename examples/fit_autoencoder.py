"""Trains the autoencoder of padless with Keras' own `compile` and `fit`, and finds what is unusual.

The packed steps go into `fit` as they are: many lengths in each, and nothing padded. Without a
`loss`, `compile` keeps the model's own: the squared error in units of the training variance.
`padless train` does more: several replicas, checkpoints, anomaly scores with p-values.

    python fit_autoencoder.py DATASET_DIRECTORY
"""

import argparse

import keras
import numpy as np

from padless.model import Architecture, SequenceAutoencoder
from padless.pipeline import PackedSequences, Shuffle, open_dataset, packed_steps, plan_batches


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="what `padless preprocess` wrote")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    keras.utils.set_random_seed(args.seed)
    dataset = open_dataset(args.directory)

    def read(split, **options):
        lengths = dataset.split(split).lengths
        plan = plan_batches(lengths, batch_size=args.batch_size, group_size=4)
        return plan, packed_steps(dataset, plan, split=split, **options)

    model = SequenceAutoencoder.for_moments(dataset.moments, Architecture(latent_size=8, units=32))
    model.compile(optimizer=keras.optimizers.Adam(1e-2), weighted_metrics=["mae"])
    model.summary()

    # One dataset holds all epochs: `fit` takes `plan.steps_per_epoch` of it for each.
    plan, batches = read("train", shuffle=Shuffle(args.seed), epochs=range(args.epochs))
    _, validation = read("validation")
    options = {"steps_per_epoch": plan.steps_per_epoch, "epochs": args.epochs}
    fitted = model.fit(batches, **options, validation_data=validation, shuffle=False, verbose=0)
    history = fitted.history
    for epoch, losses in enumerate(zip(history["loss"], history["val_loss"], strict=True)):
        print("epoch {}: loss {:.3f}, validation {:.3f}".format(epoch, *losses))

    keys, errors = [], []
    for batch in validation:
        keys.extend(batch["key"].numpy())
        sequences = PackedSequences(batch["values"], batch["length"])
        errors.extend(model.analyze(sequences)["error"].numpy())
    for row in np.argsort(errors)[::-1][:3]:
        print(f"unusual: {keys[row].decode()}, error {errors[row]:.3f}")


if __name__ == "__main__":
    main()
