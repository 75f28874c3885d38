"""Multi-exit networks: their work, training and resuming, calibration, files, and answers that do not depend on company."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from envs.early_exit.costs import NetworkWork
from envs.early_exit.types import DECIMALS, Thresholds
from envs.early_exit.work_file import load_work, save_work
from inference.early_exit import synthetic
from inference.early_exit.calibration import fit_temperatures, halves, quality, reliability
from inference.early_exit.checkpoint import TrainedNetwork, load_network
from inference.early_exit.decisions import decide, summary, thresholds_of
from inference.early_exit.forward import BATCH, Scores, forward, score, scores_of
from inference.early_exit.network import ExitNetwork
from inference.early_exit.networks import FAMILIES, NetworkSpec, count_work
from inference.early_exit.preprocessing import Preprocessor
from inference.early_exit.timing import stage_seconds
from inference.early_exit.training import Training, TrainingSettings
from inference.training_folder import load_state, save_state

torch.set_num_threads(1)  # two are several times slower on a busy machine
ROWS = synthetic.month(0, 0, 600)
SMALL = NetworkSpec("mlp", 58, (8, 16))
PREPROCESSOR = Preprocessor.fit(ROWS.names, ROWS.features)


def training(epochs: int = 4, **settings: Any) -> Training:
    chosen = TrainingSettings(epochs, 200, 3e-3, (1.0, 1.0), **settings)
    return Training(SMALL.build(), PREPROCESSOR(ROWS.features), ROWS.labels, chosen)


def trained(**settings: Any) -> TrainedNetwork:
    run = training(**settings)
    run.run()
    return TrainedNetwork(SMALL, run.network, PREPROCESSOR, (1.5, 0.8))


@pytest.mark.parametrize(
    ("name", "parameters", "work"),
    [
        ("mlp", 76_708, NetworkWork((1_856, 73_728), (64, 512), (128, 0), 232)),
        ("mlp3", 89_302, NetworkWork((928, 5_120, 81_920), (32, 128, 512), (64, 256, 0), 232)),
        ("mobilenet", 2_225_028, NetworkWork((3_149_568, 11_446_656), (4_426_240, 1_640_960), (13_824, 0), 232)),
        ("alexnet", 36_874_052, NetworkWork((937_024, 56_217_600), (3_200, 34_607_104), (6_400, 0), 232)),
    ],
)
def test_parameters_and_work(name: str, parameters: int, work: NetworkWork) -> None:
    """Parameters and bytes are those of the public code; multiply-accumulates agree with it to the digits known of it."""
    spec = NetworkSpec(name, 58)
    with torch.device("meta"):
        assert spec.build().parameter_count() == parameters
    network = spec.build()
    shape = Preprocessor.fit(ROWS.names, ROWS.features, spec.layout).shape
    assert count_work(network, shape, 58) == work
    assert network.training and len(network.exits) == work.exits


def test_work_file(tmp_path: Path) -> None:
    work = NetworkWork((10, 20), (1, 2), (128, 0), 232)
    save_work(work, tmp_path / "work.yaml")
    assert load_work(tmp_path / "work.yaml") == work
    text = (tmp_path / "work.yaml").read_text()
    for old, new, message in (
        ("version: 1", "version: 2", "field 'version' is 2, expected 1"),
        ("[10, 20]", "[10]", "different lengths"),
        ("[10, 20]", "[10, x]", r"field 'block_macs\[1\]' is \"x\""),
        ("input_bytes: 232", "", "field 'input_bytes' is missing"),
        ("[10, 20]", "[10, 20", "cannot be read as YAML"),
    ):
        (tmp_path / "bad.yaml").write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=message) as caught:
            load_work(tmp_path / "bad.yaml")
        assert "bad.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "widths", "features", "message"),
    [
        ("vgg", (), 58, "network is 'vgg', expected one of mlp, mlp3"),
        ("mlp", (3,), 58, "widths has 1 entries, expected one for each of 2 exits"),
        ("alexnet", (3, 3), 58, "expected none for alexnet"),
        ("alexnet", (), 65, "takes 50 to 64 features, there are 65"),
    ],
)
def test_networks_that_cannot_be_built(name: str, widths: tuple[int, ...], features: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkSpec(name, features, widths)
    assert len(FAMILIES) == 4


def test_equal_rows_forwarded_once_give_the_same_gradient() -> None:
    network = ExitNetwork(
        [nn.Sequential(nn.Linear(58, 8), nn.ReLU()), nn.Sequential(nn.Linear(8, 8), nn.ReLU())],
        [nn.Linear(8, 2), nn.Linear(8, 2)],
    )
    run = Training(network, PREPROCESSOR(ROWS.features), ROWS.labels, TrainingSettings(1, 200, 1e-12, (1.0, 0.5)))
    rows = run.kept[:200]
    run._update(rows)
    found = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    network.zero_grad()
    logits = network(torch.from_numpy(run.inputs[rows]))
    labels = torch.from_numpy(run.labels[rows].astype(np.int64))
    losses = [nn.functional.cross_entropy(exit_logits, labels) for exit_logits in logits]
    (losses[0] + 0.5 * losses[1]).backward()
    expected = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    # both are cut to the same norm only if they are the same
    norm = torch.sqrt(sum((gradient**2).sum() for gradient in expected))
    scale = min(1.0, 5.0 / float(norm))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other * scale, rtol=1e-4, atol=1e-6)


def test_training_learns_and_follows_from_the_seed(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    first, again, other = trained(epochs=60), trained(epochs=60), trained(seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    for name, model in (("a", first), ("b", again), ("c", other)):
        model.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
    assert ((score(first, ROWS.features).predicted == ROWS.labels).mean(axis=1) > 0.8).all()


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = training(epochs=6)
    whole.run()
    killed = training(epochs=6)

    class Killed(Exception):
        pass

    def kill(state: object) -> None:
        if killed.state.epoch == 3:
            save_state(tmp_path, killed.state, 1.5)
            raise Killed

    with pytest.raises(Killed):
        killed.run(kill)
    found = load_state(tmp_path)
    assert found is not None and found[1] == 1.5
    arguments = (PREPROCESSOR(ROWS.features), ROWS.labels, killed.settings, found[0])
    resumed = Training(SMALL.build(), *arguments)
    resumed.run()
    assert resumed.state.history == whole.state.history
    for one, other in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match="the rows are not those"):
        Training(SMALL.build(), arguments[0][1:], ROWS.labels[1:], killed.settings, found[0])
    with pytest.raises(ValueError, match="of another network"):
        Training(NetworkSpec("mlp", 58, (9, 9)).build(), *arguments)


def test_patience_takes_the_best_epoch() -> None:
    run = training(epochs=40, patience=2)
    run.run()
    losses = [entry["validation_loss_exit_1"] + entry["validation_loss_exit_2"] for entry in run.state.history]
    assert run.state.best_epoch == int(np.argmin(losses)) + 1
    assert run.state.epoch == 40 or run.state.epoch == run.state.best_epoch + 2
    with pytest.raises(ValueError, match="learning_rate is 1e\\+20, with which the loss is no number"):
        bad = TrainingSettings(5, 200, 1e20, (1.0, 1.0))
        Training(SMALL.build(), PREPROCESSOR(ROWS.features), ROWS.labels, bad).run()


def test_a_row_gets_the_same_certainty_wherever_it_stands() -> None:
    model = trained()
    whole = score(model, ROWS.features)
    order = np.random.default_rng(0).permutation(len(ROWS))
    shuffled = score(model, ROWS.features[order])
    np.testing.assert_array_equal(shuffled.certainty, whole.certainty[:, order])
    for row in (0, 17, 599):
        alone = score(model, ROWS.features[row : row + 1])
        np.testing.assert_array_equal(alone.certainty[:, 0], whole.certainty[:, row])
        np.testing.assert_array_equal(alone.predicted[:, 0], whole.predicted[:, row])


def test_certainties_are_softmax_probabilities() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (2, 500, 2))
    scores = scores_of(logits, (1.3, 0.7))
    scaled = torch.from_numpy(logits) / torch.tensor([1.3, 0.7]).double()[:, None, None]
    certainty, predicted = scaled.softmax(-1).max(-1)
    np.testing.assert_allclose(scores.certainty, certainty.numpy(), atol=1e-6)
    np.testing.assert_array_equal(scores.predicted, predicted.numpy())
    assert (np.round(scores.certainty, DECIMALS) == scores.certainty).all()
    assert scores_of(np.array([[[1e30, -1e30]]]), (1.0,)).certainty[0, 0] == 1


def test_forward_keeps_the_mode_and_counts() -> None:
    network, done = SMALL.build().train(), list[int]()
    inputs = PREPROCESSOR(ROWS.features)
    forward(network, inputs, tick=done.append)
    assert network.training and done[0] == BATCH and done == sorted(done)


def test_calibration_recovers_a_temperature() -> None:
    rng = np.random.default_rng(0)
    margin = rng.normal(0, 3, (2, 40_000))
    labels = (rng.random(40_000) < 1 / (1 + np.exp(-margin[0]))).astype(np.int8)
    logits = np.zeros((2, 40_000, 2))
    logits[0, :, 1], logits[1, :, 1] = 2.5 * margin[0], 0.4 * margin[0]
    found = fit_temperatures(logits, labels)
    assert found == pytest.approx((2.5, 0.4), rel=0.03)
    before, after = quality(logits, labels, (1.0, 1.0)), quality(logits, labels, found)
    assert (after.nll < before.nll).all() and (after.ece < 0.02).all() and (before.ece > 0.05).all()
    np.testing.assert_array_equal(before.accuracy, after.accuracy)


def test_calibration_error_by_hand() -> None:
    """Two rows at .6, one of them right; two at .95, both right: (2 * .1 + 2 * .05) / 4."""
    scores = Scores(np.zeros((1, 4), np.int8), np.array([[0.62, 0.58, 0.95, 0.95]]))
    curve = reliability(scores, np.array([0, 1, 0, 0], np.int8), 0)
    assert curve.count.tolist() == [0, 1, 1, 0, 0, 0, 0, 0, 0, 2]
    assert curve.ece == pytest.approx((0.38 + 0.58 + 2 * 0.05) / 4)


def test_calibration_where_all_is_right_and_halves() -> None:
    logits = np.array([[[0, 3], [3, 0]]], np.float64)
    assert 0 < fit_temperatures(logits, np.array([1, 0], np.int8))[0] < 1
    with pytest.raises(ValueError, match="no rows to calibrate on"):
        fit_temperatures(logits[:, :0], np.zeros(0, np.int8))
    one, two = halves(11, 0)
    assert sorted([*one, *two]) == list(range(11)) and len(one) == 5


def test_files_of_networks(tmp_path: Path) -> None:
    model = trained()
    model.save(tmp_path / "a.pt")
    loaded = load_network(tmp_path / "a.pt")
    assert loaded.identity == model.identity and loaded.temperatures == (1.5, 0.8)
    np.testing.assert_array_equal(score(loaded, ROWS.features).certainty, score(model, ROWS.features).certainty)
    assert model.calibrated((1.0, 1.0), {"x": 1}).identity != model.identity

    data = torch.load(tmp_path / "a.pt", weights_only=True)
    metadata = json.loads(data["metadata"])
    next(iter(data["weights"].values()))[0] += 1
    torch.save(data, tmp_path / "changed.pt")
    torch.save({**data, "metadata": json.dumps({**metadata, "version": 9})}, tmp_path / "later.pt")
    raw = bytearray((tmp_path / "a.pt").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "flipped.pt").write_bytes(raw)
    (tmp_path / "cut.pt").write_bytes(raw[:1000])
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(print))
    torch.save({"metadata": print, "weights": {}}, tmp_path / "code.pt")
    for name in ("changed", "later", "flipped", "cut", "pickle", "code", "none"):
        with pytest.raises(ValueError, match=rf"checkpoint .*{name}.pt cannot be read") as caught:
            load_network(tmp_path / f"{name}.pt")
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="expected 2 numbers > 0"):
        model.calibrated((1.0, 0.0), {})


def test_decisions() -> None:
    scores = Scores(np.array([[0, 1, 0], [1, 1, 1]], np.int8), np.array([[0.9, 0.6, 0.6], [0.8, 0.9, 0.7]]))
    decisions = decide(scores, thresholds_of([0.8, 0.8, 0.8, 0.8], [], 2))
    assert decisions.exit.tolist() == [1, 2, 2] and decisions.rejected.tolist() == [False, False, True]
    # the second exit's own answer, not the first one's
    assert decisions.predicted[:2].tolist() == [0, 1] and decisions.certainty[:2].tolist() == [0.9, 0.9]
    found = summary(decisions, np.array([0, 0, 1], np.int8), 2)
    expected = {"rejected": 1 / 3, "accuracy": 0.5, "offloaded": 2 / 3, "answered_by_exit_1": 1 / 3}
    assert found == pytest.approx({**expected, "answered_by_exit_2": 1 / 3})
    at_once = decide(scores, thresholds_of([0.8] * 4, [0.7] * 4, 2))
    assert at_once.exit.tolist() == [1, 1, 1] and at_once.rejected.tolist() == [False, True, True]
    nobody = summary(decide(scores, thresholds_of([2.0] * 4, [], 2)), np.zeros(3, np.int8), 2)
    assert nobody["accuracy"] is None and nobody["rejected"] == 1
    with pytest.raises(ValueError, match="accept has 2 entries, expected 4"):
        thresholds_of([0.8, 0.8], [], 2)
    with pytest.raises(ValueError, match="2 sets of thresholds"):
        decide(scores, Thresholds(np.zeros((2, 2, 2)), np.zeros((2, 2, 2))))


def test_measured_times() -> None:
    block, leave = stage_seconds(trained(), batch=8, repeats=3)
    assert block.shape == leave.shape == (2,) and (block > 0).all() and (leave > 0).all()
