"""Runs of jaxuq tag: the result folder, going on after an interruption, saved models, and bad input."""

import csv
import json
import shutil

import numpy as np
import pytest

from jaxuq.cli import main
from jaxuq.study import Listener
from jaxuq.tagging import TaggingDataError, neural_training
from jaxuq.tagging.benchmark import METHODS, TaggingConfiguration, apply_model, run, run_tagging
from tests.tagging.small_data import write_data, write_encoder

VOTES = "majority-vote,hmm,best-consensus"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def done(data, encoder, tmp_path_factory):
    """A finished run, through the command line."""
    output = tmp_path_factory.mktemp("run") / "out"
    options = ["--model", VOTES, "--seeds", "2", "--embeddings", str(encoder), "--tagger", "--epochs", "3"]
    main(["tag", "--data", str(data), "--output", str(output), *options])
    return output


def _rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_writes_the_folder_that_the_manual_promises(done, data):
    results = _rows(done / "results.csv")
    assert list(results[0])[:6] == ["dataset", "method", "seed", "precision", "recall", "f1"]
    names = ["majority-vote", "majority-vote", "majority-vote+tagger", "majority-vote+tagger"]
    assert [row["method"] for row in results] == [*names, "hmm", "hmm+tagger", "best-consensus"]
    assert json.loads((done / "run.json").read_text())["status"] == "complete"
    page = (done / "report.html").read_text()
    for text in ("Best consensus (gold access)", "What the labelling functions say", "true F1", "small"):
        assert text in page
    assert "could not be drawn" not in page
    assert {path.stem for path in (done / "figures").glob("*.png")} == {
        *("scores-small", "reliability-small", "own-reliability-small", "emissions-small"),
    }


def test_reliabilities_are_those_of_the_functions(done, data):
    rows = {row["function"]: row for row in _rows(done / "reliability.csv") if row["method"] == "best-consensus"}
    truth = json.loads((data / "test.json").read_text()).values()
    marked = [tuple(map(tuple, row["weak_labels"][0])) for row in truth]
    gold = [tuple(map(tuple, row["label"])) for row in truth]
    right = sum(len(set(ours) & set(theirs)) for ours, theirs in zip(marked, gold))
    precision, recall = right / sum(map(len, marked)), right / sum(map(len, gold))
    assert float(rows["people"]["true_precision"]) == pytest.approx(precision)
    assert float(rows["people"]["true_recall"]) == pytest.approx(recall)
    assert float(rows["noise"]["true_f1"]) < 0.3 < float(rows["people"]["true_f1"])


def test_predictions_have_the_words_and_a_confidence(done, data):
    lines = [json.loads(line) for line in (done / "predictions.jsonl").read_text().splitlines()]
    hmm = [line for line in lines if line["method"] == "hmm"]
    assert len(hmm) == 24 and {line["seed"] for line in lines} == {0}
    for line in hmm:
        for entity in line["entities"]:
            assert entity["text"].split() == line["tokens"][entity["start"] : entity["end"]]
            assert 0 < entity["confidence"] <= 1


def test_an_interrupted_run_goes_on_and_a_finished_one_is_not_repeated(done, data, encoder, tmp_path, monkeypatch):
    options = {"model": VOTES, "seeds": 2, "embeddings": str(encoder), "tagger": True, "epochs": 3}
    configuration = TaggingConfiguration(data=(str(data),), output=tmp_path / "out", **options)
    original, calls = run.cell_content, []

    def interrupting(*outcome):
        calls.append(outcome)
        if len(calls) == 4:  # after a label model, before its tagger
            raise KeyboardInterrupt
        return original(*outcome)

    with monkeypatch.context() as patch:
        patch.setattr(run, "cell_content", interrupting)
        with pytest.raises(KeyboardInterrupt):
            run_tagging(configuration)
    run_tagging(configuration)

    def scores(folder):
        return [{key: value for key, value in row.items() if key != "seconds"} for row in _rows(folder / "results.csv")]

    assert scores(tmp_path / "out") == scores(done)
    monkeypatch.setattr(run, "cell_content", lambda *arguments: pytest.fail("computed again"))
    run_tagging(configuration)


def test_intervals_are_those_of_resampled_sentences(done, data):
    """F1 of the mean over seeds on resamples that NumPy draws from the same sentences: the same spread, no bias."""
    summary = {row["method"]: row for row in _rows(done / "summary.csv")}
    row, truth = summary["hmm"], json.loads((data / "test.json").read_text()).values()
    gold = [set(map(tuple, one["label"])) for one in truth]
    lines = [json.loads(line) for line in (done / "predictions.jsonl").read_text().splitlines()]
    found = [
        {(entity["start"], entity["end"], entity["type"]) for entity in line["entities"]}
        for line in lines
        if line["method"] == "hmm"
    ]
    counts = np.array([[len(a & b), len(a), len(b)] for a, b in zip(found, gold)])
    rng = np.random.default_rng(0)
    draws = [counts[rng.integers(0, len(counts), len(counts))].sum(0) for _ in range(4000)]
    spread = np.std([2 * right / (said + there) for right, said, there in draws])
    lower, mean, upper = (float(row[f"f1_{end}"]) for end in ("lower", "mean", "upper"))
    assert mean == pytest.approx(2 * counts[:, 0].sum() / counts[:, 1:].sum(), rel=1e-6)
    assert lower < mean < upper
    assert (upper - lower) / 2 == pytest.approx(1.96 * spread, rel=0.15)


@pytest.mark.parametrize("method", ["majority-vote", "hmm", "hmm+tagger"])
def test_a_saved_model_says_the_same(method, done, data, tmp_path):
    model = done / "models" / "small" / method / "seed-0"
    assert not list(model.glob("*.pkl")) and (model / "weights.safetensors").is_file()
    file, scores = apply_model(TaggingConfiguration(data=(str(data),), apply=model, output=tmp_path))
    applied = [json.loads(line)["entities"] for line in file.read_text().splitlines()]
    before = [json.loads(line) for line in (done / "predictions.jsonl").read_text().splitlines()]
    assert applied == [line["entities"] for line in before if line["method"] == method]
    (row,) = [row for row in _rows(done / "results.csv") if row["method"] == method and row["seed"] == "0"]
    assert scores["small"]["f1"] == pytest.approx(float(row["f1"]), abs=1e-6)


def test_a_tagger_labels_plain_text_and_a_label_model_does_not(done, tmp_path, capsys):
    text = tmp_path / "new.txt"
    text.write_text("ada saw rome\n\nthe old oslo\n")
    models = done / "models" / "small"
    main(["tag", "--apply", str(models / "hmm+tagger" / "seed-0"), "--data", str(text), "--output", str(tmp_path)])
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [line["tokens"] for line in lines] == [["ada", "saw", "rome"], ["the", "old", "oslo"]]
    with pytest.raises(TaggingDataError, match="holds text only, and hmm labels by what labelling functions say"):
        apply_model(TaggingConfiguration(data=(str(text),), apply=models / "hmm" / "seed-0", output=tmp_path))


@pytest.fixture(scope="module")
def tuned(data, encoder, tmp_path_factory):
    """A run whose encoder is trained along, on gold labels and on those of a vote."""
    output = tmp_path_factory.mktemp("tuned") / "out"
    options = ["--model", "majority-vote,fine-tuned", "--fine-tune", "--seeds", "1", "--epochs", "1"]
    main(["tag", "--data", str(data), "--output", str(output), *options, "--embeddings", str(encoder)])
    return output


@pytest.mark.parametrize("method", ["fine-tuned", "majority-vote+fine-tuned"])
def test_a_tagger_with_its_own_encoder_is_saved_whole(method, tuned, data, encoder, tmp_path):
    model = tuned / "models" / "small" / method / "seed-0"
    moved = tmp_path / "moved"
    shutil.copytree(model, moved)  # it is read where it lies now, and its encoder with it
    _, scores = apply_model(TaggingConfiguration(data=(str(data),), apply=moved, output=tmp_path))
    (row,) = [row for row in _rows(tuned / "results.csv") if row["method"] == method]
    assert scores["small"]["f1"] == pytest.approx(float(row["f1"]), abs=1e-6)
    with pytest.raises(TaggingDataError, match="has other weights, which would label nonsense"):
        apply_model(TaggingConfiguration(data=(str(data),), apply=moved, embeddings=str(encoder), output=tmp_path))


def test_label_models_read_the_vectors_of_a_tuned_encoder(tuned, data, tmp_path):
    own = tuned / "models" / "small" / "majority-vote+fine-tuned" / "seed-0" / "encoder"
    options = ["--model", "chmm", "--seeds", "1", "--epochs", "1", "--embeddings", str(own)]
    main(["tag", "--data", str(data), "--output", str(tmp_path / "out"), *options])
    assert [row["method"] for row in _rows(tmp_path / "out" / "results.csv")] == ["chmm"]


def test_an_interrupted_fine_tuning_goes_on_from_its_checkpoint(tuned, data, encoder, tmp_path, monkeypatch):
    options = {"model": "fine-tuned", "seeds": 1, "epochs": 1, "embeddings": str(encoder)}
    configuration = TaggingConfiguration(data=(str(data),), output=tmp_path / "out", **options)
    steps, stop = [], [2]

    def progress(step, done, total, said):
        if "encoder" in step:
            steps.append(done)
            if done in stop:
                raise KeyboardInterrupt

    monkeypatch.setattr(neural_training, "_KEEP_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run_tagging(configuration, Listener(progress=progress))
    stop.clear()
    run_tagging(configuration, Listener(progress=progress))
    assert steps == [1, 2, *range(2, max(steps) + 1)]
    kept = {row["method"]: row["f1"] for row in _rows(tuned / "results.csv")}
    assert _rows(tmp_path / "out" / "results.csv")[0]["f1"] == kept["fine-tuned"]
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_gold_labels_without_functions_are_enough_where_no_votes_are_read(data, encoder, tmp_path):
    folder = tmp_path / "columns"
    folder.mkdir()
    for part in ("train", "valid", "test"):
        lines = []
        for row in json.loads((data / f"{part}.json").read_text()).values():
            tags = {start: f"B-{kind}" for start, _, kind in row["label"]}
            lines += [f"{word} {tags.get(place, 'O')}" for place, word in enumerate(row["data"]["text"])] + [""]
        (folder / f"{part}.txt").write_text("\n".join(lines))
    command = ["tag", "--data", str(folder), "--gold", "last", "--model", "supervised", "--seeds", "1", "--epochs", "2"]
    main([*command, "--embeddings", str(encoder), "--output", str(tmp_path / "out")])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "could not be drawn" not in page and "Scores of the models" in page
    assert _rows(tmp_path / "out" / "reliability.csv") == []
    assert [row["method"] for row in _rows(tmp_path / "out" / "results.csv")] == ["supervised"]
    with pytest.raises(TaggingDataError, match="has no labelling functions"):
        run_tagging(TaggingConfiguration(data=(str(folder),), model="hmm", gold="last", output=tmp_path / "none"))


def _spoil(folder, part="test", **changes):
    file = folder / f"{part}.json"
    sentences = json.loads(file.read_text())
    sentences["3"] |= changes
    file.write_text(json.dumps(sentences))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": [[0, 2, "PER"], [1, 2, "LOC"]]}, "sentence 3, gold, token 1: the span .* overlaps another"),
        ({"label": [[0, 99, "PER"]]}, "sentence 3, gold, token 0: the span .* leaves the sentence"),
        ({"label": [[0, 1, "DATE"]]}, "sentence 3, gold, token 0: unknown entity type 'DATE'; known are PER, LOC"),
        ({"weak_labels": [[], [[1, 1, "LOC"]], []]}, "sentence 3, places, token 1: the span .* is empty"),
        ({"weak_labels": [[], []]}, "sentence 3: 2 functions have spans and meta.json names 3"),
        ({"data": {"text": []}, "label": [], "weak_labels": [[], [], []]}, "sentence 3 is empty, so it has no token 0"),
    ],
)
def test_bad_sentences_end_the_command_with_one_line(changes, message, tmp_path, capsys):
    import re

    folder = write_data(tmp_path / "bad", sentences=6)
    _spoil(folder, **changes)
    with pytest.raises(SystemExit) as end:
        main(["tag", "--data", str(folder), "--model", "majority-vote", "--output", str(tmp_path / "out")])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2
    assert error.startswith("jaxuq: ") and re.search(message, error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "hnm"], "--model is 'hnm': 'hnm' is no model; known are majority-vote"),
        (["--seeds", "0"], "--seeds is 0"),
        (["--epochs", "0"], "--epochs is 0; expected at least 1"),
        (["--model", "chmm", "--embeddings", "minilmm"], "no encoder is called 'minilmm'.* did you mean minilm"),
    ],
)
def test_mistaken_options_end_the_command_with_one_line(options, message, data, tmp_path, capsys):
    import re

    with pytest.raises(SystemExit) as end:
        main(["tag", "--data", str(data), "--output", str(tmp_path / "out"), *options])
    assert end.value.code == 2
    assert re.search(message, capsys.readouterr().err.strip().splitlines()[-1])


@pytest.mark.long
@pytest.mark.parametrize("kind", ["silent", "untouched", "one label"])
def test_what_is_odd_but_possible_is_handled(kind, tmp_path):
    """A function that never fires; tokens and whole texts no function touches; text with a single label."""
    folder = write_data(tmp_path / "odd", sentences=6)
    for part in ("train", "valid", "test"):
        file = folder / f"{part}.json"
        sentences = json.loads(file.read_text())
        for sentence in sentences.values():
            first = [] if kind != "one label" else [[0, 1, "PER"]]
            sentence["weak_labels"] = [first, sentence["weak_labels"][1] if kind == "silent" else [], []]
            if kind == "one label":
                sentence["label"] = [[0, 1, "PER"]]
        file.write_text(json.dumps(sentences))
    names = "majority-vote,snorkel,dawid-skene,hmm"
    folder = run_tagging(TaggingConfiguration(data=(str(folder),), model=names, seeds=1, output=tmp_path / "out"))
    rows = _rows(folder.path / "results.csv")
    assert [row["method"] for row in rows] == names.split(",")
    assert all(np.isfinite(float(row["f1"])) for row in rows)
    if kind == "one label":
        found = {row["method"]: float(row["f1"]) for row in rows}
        assert found["majority-vote"] == found["snorkel"] == found["hmm"] == 1
    if kind == "untouched":
        assert all(float(row["f1"]) == 0 for row in rows)


def test_text_without_gold_labels_is_labelled_and_gold_access_is_refused(tmp_path):
    folder = write_data(tmp_path / "new", sentences=6, gold=False)
    output = run_tagging(TaggingConfiguration(data=(str(folder),), model="hmm", output=tmp_path / "out")).path
    assert _rows(output / "results.csv") == []
    assert len((output / "predictions.jsonl").read_text().splitlines()) == 6
    with pytest.raises(
        TaggingDataError, match="best-consensus reads gold labels, and the part of new to label has none"
    ):
        run_tagging(TaggingConfiguration(data=(str(folder),), model="best-consensus", output=tmp_path / "other"))


def test_a_part_that_is_missing_leaves_no_folder_behind(tmp_path):
    folder = write_data(tmp_path / "new", sentences=6)
    (folder / "test.json").unlink()
    configuration = TaggingConfiguration(data=(str(folder),), model="hmm", output=tmp_path / "out")
    with pytest.raises(TaggingDataError, match="has no part 'test'; choose another --part"):
        run_tagging(configuration)
    assert not (tmp_path / "out").exists()


def test_vectors_of_another_width_than_the_model_are_refused(done, data, tmp_path):
    from jaxuq.tagging import EmbeddedText, load_weak_labels
    from jaxuq.tagging.benchmark.saved import SavedModel

    model = SavedModel(done / "models" / "small" / "hmm+tagger" / "seed-0")
    text = load_weak_labels(data, "test")
    message = r"sentence 0, token 0: the word vectors have 5 numbers, and the model in .* was fitted to 16"
    with pytest.raises(TaggingDataError, match=message):
        model.predict(EmbeddedText(text, [np.zeros((length, 5), np.float32) for length in text.lengths]))
    with pytest.raises(TaggingDataError, match="was fitted with the labelling functions people, places, noise"):
        SavedModel(done / "models" / "small" / "hmm" / "seed-0").check(
            EmbeddedText(text.functions(["people", "noise"]), [])
        )
    with pytest.raises(TaggingDataError, match="is no saved tagging model"):
        SavedModel(tmp_path)


def test_the_table_of_methods_is_that_of_the_help():
    text = TaggingConfiguration.__doc__ + json.dumps(list(METHODS))
    import inspect

    from jaxuq.tagging.benchmark import configuration

    source = inspect.getsource(configuration)
    assert text and all(name in source for name in METHODS)


def test_a_saved_model_is_not_fitted_again(tmp_path):
    configuration = TaggingConfiguration(data=("x",), apply=tmp_path, output=tmp_path / "run")
    with pytest.raises(TaggingDataError, match="take `apply_model`"):
        run_tagging(configuration)


def test_names_that_are_no_texts_are_no_model(tmp_path):
    content = {"format": 2, "method": "hmm", "label_names": ["O", 7], "function_names": ["people"]}
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(TaggingDataError, match="is not of a model"):
        apply_model(TaggingConfiguration(data=("x",), apply=tmp_path, output=tmp_path / "run"))
