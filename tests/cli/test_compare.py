"""`padless compare` on a small data set, with real runs."""

SMALL = ("--units", 4, "--latent-size", 3, "--batch-size", 8, "--epochs", 1)


def test_compare_prints_a_table_and_draws(call, trained, tmp_path):
    picture, runs = tmp_path / "c.png", tmp_path / "runs"
    chosen = ("--alignments", "dynamic_repeat,padded", "--runs", runs, "--picture", picture)
    printed = call("compare", trained.data, *SMALL, *chosen)
    assert printed.code == 0
    text = printed.out.replace("\n  ", " ")
    lines = text.splitlines()
    assert "1 epoch each from the same weights; loss at valid timesteps and accuracy on v" in text
    assert [line.split()[0] for line in lines if line.startswith(("dynamic_", "padded"))] == [
        "dynamic_repeat", "padded"
    ]  # fmt: skip
    announced = [line.split(":")[0] for line in printed.err.splitlines() if ": epoch 1/1: " in line]
    assert announced == ["dynamic_repeat", "padded"]
    assert "packed steps take" in printed.out
    assert lines[-1] == f"picture: {picture}"
    assert picture.stat().st_size > 10_000
    assert (runs / "padded" / "model.keras").exists()


def test_compare_answers_a_missing_dataset(call, tmp_path):
    printed = call("compare", tmp_path / "none")
    assert printed.code == 1
    assert str(tmp_path / "none") in printed.err
