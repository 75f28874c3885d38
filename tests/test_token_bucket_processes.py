"""Metrics and arrivals: published numbers, stationary shares, correlations, and a slow simulation of every time unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.token_bucket.arrivals import ArrivalProcess, Bernoulli, Geometric, MarkovModulated, Periodic
from envs.token_bucket.metrics import DISTRIBUTIONS, IidMetrics, LocalReset, distribution
from envs.token_bucket.scenarios import ARRIVALS, SCENARIOS, as_generator, scenario
from envs.token_bucket.types import Trace

QUANTILES = (
    ".0026 .0030 .0043 .0064 .0106 .0168 .0233 .0298 .0367 .0436 .0504 .0595 .0706 .0842 .1026 .1241 .1450 .1649 .1869 "
    ".2094 .2322 .2566 .2770 .2949 .3122 .3298 .3473 .3665 .3866 .4042 .4213 .4392 .4605 .4847 .5079 .5283 .5425 .5580 "
    ".5771 .5850 .6674"
)


def moments(name: str) -> tuple[float, float]:
    """Mean and standard deviation of a distribution, by a fine grid of shares."""
    metric = distribution(name).quantile((np.arange(1_000_000) + 0.5) / 1_000_000)
    return float(metric.mean()), float(metric.std())


# --- distributions ---------------------------------------------------------------------------------------------------
def test_the_standard_distribution_is_the_published_one() -> None:
    law = distribution("standard")
    assert law.quantile(np.arange(41) / 40) == pytest.approx([float(text) for text in QUANTILES.split()], abs=1e-12)
    mean, deviation = moments("standard")
    assert abs(mean - 0.250) < 1e-3 and abs(deviation - 0.198) < 1e-3
    assert law.mean == pytest.approx(mean, abs=1e-6)
    assert law.weak_loss == 0.2985 and abs(law.weak_loss - law.mean - 0.051) < 3e-3


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_realised_rewards_are_those_of_the_metric(name: str) -> None:
    law, rng, count = distribution(name), np.random.default_rng(1), 400_000
    metric = law.quantile(rng.random(count))
    reward = law.realised(metric, rng.random(count))
    assert set(np.unique(reward)) == {-1.0, 0.0, 1.0}
    error = 4 / np.sqrt(count)
    assert abs((reward == -1).mean() - 0.005) < 0.1 * error
    assert abs(reward.mean() - law.mean) < 0.5 * error
    if name == "standard":
        assert abs((reward == 1).mean() - 0.252) < 0.004
    for low, high in ((0.0, 0.02), (0.1, 0.2), (0.2, 0.325)):
        some = (metric >= low) & (metric < high)
        assert abs((reward - metric)[some].mean()) < 4 * (reward - metric)[some].std() / np.sqrt(some.sum())


def test_the_strong_pair_is_the_published_one() -> None:
    law = distribution("strong-pair")
    assert abs(law.mean - 0.052) < 1e-3 and law.weak_loss == 0.103
    for share, value in ((0.6, 0.025), (0.82, 0.1), (0.93, 0.2), (1.0, 0.325)):
        assert law.quantile(np.array(share)) == pytest.approx(value, abs=1e-12)


def test_the_beta_distribution_equals_numeric_integration() -> None:
    a, b, scale = 0.642, 1.105, 0.68
    law = distribution("beta")
    # F(x) by the substitution x = s^(1/a), Simpson's rule on each grid of its own
    points = np.linspace(0, 1, 2001)

    def integral(x: float) -> float:
        s = np.linspace(0, x**a, 20_001)
        y = (1 - s ** (1 / a)) ** (b - 1)
        return float((y[0] + y[-1] + 4 * y[1:-1:2].sum() + 2 * y[2:-1:2].sum()) * (s[1] - s[0]) / 3 / a)

    from math import gamma

    total = gamma(a) * gamma(b) / gamma(a + b)
    for metric in (0.001, 0.01, 0.1, 0.25, 0.4, 0.6, 0.67):
        share = integral(metric / scale) / total
        assert law.quantile(np.array(share)) == pytest.approx(metric, abs=5e-4)
    values = law.quantile(points)
    assert (np.diff(values) >= 0).all() and values[0] == 0 and values[-1] == scale
    assert law.mean == pytest.approx(scale * a / (a + b), abs=1e-4)
    standard = distribution("standard").quantile(points)
    assert np.abs(values - standard).max() < 0.07, "a stand-in for the standard distribution"


def test_tail_mass_is_the_integral_over_the_best() -> None:
    law = distribution("standard")
    u = (np.arange(200_000) + 0.5) / 200_000
    for share in (0.0, 0.1, 0.333, 1.0, 7.0):
        assert law.tail_mass(share) == pytest.approx(law.quantile(u)[u > 1 - share].sum() / 200_000, abs=1e-5)
    for rate, bound in ((0.05, 0.26925), (0.1, 0.24091), (0.25, 0.16813)):
        assert law.weak_loss - law.tail_mass(rate) == pytest.approx(bound, abs=1e-3), "the published bounds"


# --- metrics over time -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("spread", "reset"), [(0.1, 0.1), (0.1, 0.01), (0.5, 0.3), (1.0, 0.2), (0.0, 0.1), (0.2, 1.0)])
def test_local_reset_is_uniform_and_correlated_as_its_law_says(spread: float, reset: float) -> None:
    count = 200_000
    share, location = LocalReset(spread, reset).sample(np.random.default_rng(3), count)
    assert share.min() >= 0 and share.max() < 1
    assert ((share - location) % 1.0 <= spread + 1e-12).all()
    jumps = location[1:] != location[:-1]
    assert abs(jumps.mean() - reset) <= 4 * np.sqrt(reset * (1 - reset) / count)
    runs = count * reset
    assert abs(share.mean() - 0.5) < 4 * 0.29 / np.sqrt(runs)
    # E exp(2 pi i (u_t - u_{t-k})) = (1 - reset)^k |E exp(2 pi i spread U)|^2 = (1 - reset)^k sinc(spread)^2
    turn = np.exp(2j * np.pi * share)
    for lag in (1, 3, 10):
        expected = (1 - reset) ** lag * np.sinc(spread) ** 2
        assert abs((turn[lag:] * turn[:-lag].conj()).mean() - expected) < 6 / np.sqrt(runs)


def test_independent_metrics_have_no_location() -> None:
    share, location = IidMetrics().sample(np.random.default_rng(0), 50_000)
    assert np.isnan(location).all()
    assert abs(np.corrcoef(share[1:], share[:-1])[0, 1]) < 0.02
    assert not IidMetrics().correlated and LocalReset().correlated


# --- arrivals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "process",
    [
        Periodic(3),
        Bernoulli(0.3),
        Bernoulli(1.0),
        Geometric(5.0, 2),
        Geometric(2.0),
        MarkovModulated((1, 3), (0.02, 0.01)),
        MarkovModulated((2, 7), (0.3, 0.2)),
        MarkovModulated((1, 4, 16), (0.05, 0.02, 0.02), random=True),
        MarkovModulated((1, 3, 5), (0.01, 0.02, 0.03), next_regime=((0.0, 1.0, 0.0), (0.2, 0.0, 0.8), (0.5, 0.5, 0.0))),
    ],
)
def test_gaps_have_the_mean_that_is_promised(process: ArrivalProcess) -> None:
    gap, regime = process.sample(np.random.default_rng(5), 300_001)
    assert gap.dtype == regime.dtype == np.int64 and len(gap) == len(regime) - 1 and gap.min() >= 1
    assert regime.min() >= 0 and regime.max() == process.regimes - 1
    # a regime that ends keeps the time since its last frame: the rate of frames is a little lower where visits are short
    allowed = 0.01 if not isinstance(process, MarkovModulated) or process.random else 0.03
    if isinstance(process, MarkovModulated) and not process.random:
        slow_gap = slow(process, np.random.default_rng(6), 600_000)[0].mean()
        assert gap.mean() == pytest.approx(slow_gap, rel=0.03)
        if max(process.leave) * max(process.gaps) > 0.2:
            return
        allowed += max(process.leave) * max(process.gaps)
    assert gap.mean() == pytest.approx(process.mean_gap, rel=allowed)


def test_kinds_of_geometric_gaps() -> None:
    gap, _ = Geometric(5.0, 2).sample(np.random.default_rng(0), 100_001)
    assert gap.min() == 2
    for k in range(4):  # the rest is geometric with mean 3: P(k) = (1/4) (3/4)^k
        assert abs((gap == 2 + k).mean() - 0.25 * 0.75**k) < 0.006
    first = Bernoulli(0.25).sample(np.random.default_rng(2), 1000)[0]
    assert (first == Geometric(4.0).sample(np.random.default_rng(2), 1000)[0]).all()
    assert (Geometric(3.0, 3).sample(np.random.default_rng(0), 50)[0] == 3).all()


def slow(process: MarkovModulated, rng: np.random.Generator, units: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Gaps and regimes of the frames in ``units`` time units, unit by unit: a regime ends, a frame comes, or nothing."""
    state, since = int(rng.choice(process.regimes, p=process.time_shares)), 0
    times, regimes = [0], [state]
    leave, next_regime = rng.random(units), rng.random(units)
    arrive = rng.random(units)
    bounds = np.cumsum(process.transitions, axis=1)
    for unit in range(1, units + 1):
        since += 1
        comes = arrive[unit - 1] < 1 / process.gaps[state] if process.random else since == process.gaps[state]
        if comes:
            times.append(unit)
            regimes.append(state)
            since = 0
        if leave[unit - 1] < process.leave[state]:
            state, since = int((next_regime[unit - 1] >= bounds[state]).sum()), 0
    return np.diff(times), np.array(regimes)


@pytest.mark.parametrize(
    "process",
    [
        MarkovModulated((1, 3), (0.05, 0.02)),
        MarkovModulated((2, 5), (0.3, 0.1)),
        MarkovModulated((1, 4, 16), (0.05, 0.02, 0.01), random=True),
        MarkovModulated((1, 3, 5), (0.1, 0.05, 0.05), next_regime=((0.0, 0.9, 0.1), (0.5, 0.0, 0.5), (1.0, 0.0, 0.0))),
    ],
)
def test_modulated_arrivals_equal_a_slow_simulation_of_every_unit(process: MarkovModulated) -> None:
    gap, regime = process.sample(np.random.default_rng(8), 200_000)
    slow_gap, slow_regime = slow(process, np.random.default_rng(9), 400_000)
    n = min(len(gap), len(slow_gap))
    tolerance = 5 / np.sqrt(n * min(process.leave))

    def table(gaps: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.float64]:
        """Shares of (regime before, regime after, gap up to 19) over all gaps."""
        cells = np.zeros((process.regimes, process.regimes, 20))
        np.add.at(cells, (at[:-1], at[1:], np.minimum(gaps, 19)), 1.0)
        return cells / cells.sum()

    assert np.abs(table(gap, regime) - table(slow_gap, slow_regime)).max() < tolerance
    shares, slow_shares = (
        np.bincount(at[:-1], gaps, process.regimes) / gaps.sum()
        for gaps, at in ((gap, regime), (slow_gap, slow_regime))
    )
    assert np.abs(shares - slow_shares).max() < tolerance
    if max(process.leave) * max(process.gaps) < 0.2:  # a gap counts for its first frame: the last of a visit is longer
        assert np.abs(shares - process.time_shares).max() < 2 * tolerance


def test_regimes_last_geometric_times_and_begin_stationary() -> None:
    process = MarkovModulated((1, 3), (0.02, 0.01))
    assert process.time_shares == pytest.approx([1 / 3, 2 / 3])
    first = [process.sample(np.random.default_rng(seed), 2)[1][0] for seed in range(2000)]
    assert abs(np.mean(first) - 2 / 3) < 0.045
    gap, regime = process.sample(np.random.default_rng(0), 400_000)
    changes = np.flatnonzero(np.diff(regime))
    visits = np.diff(np.concatenate([[0], np.cumsum(gap)])[changes])
    lengths = [visits[regime[changes[1:]] == k].mean() for k in (0, 1)]
    assert lengths == pytest.approx([50, 100], rel=0.08)
    assert set(gap[(regime[:-1] == 0) & (regime[1:] == 0)]) >= {1} and 2 in gap, "gaps besides 1 and 3 occur"


def test_the_defaults_are_those_of_the_paper() -> None:
    process = MarkovModulated()
    assert (process.gaps, process.leave) == ((1, 3), (0.001, 0.0005))
    assert process.time_shares == pytest.approx([1 / 3, 2 / 3]) and process.mean_gap == pytest.approx(1.8)
    three = MarkovModulated((1, 4, 16), (0.01, 0.005, 0.002), random=True)
    assert three.time_shares == pytest.approx([0.125, 0.25, 0.625])
    assert three.transitions.tolist() == [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios_draw_what_they_say_at_any_length(name: str) -> None:
    generator = scenario(name)
    for count in (1, 2, 3, 500):
        trace = generator.draw(np.random.default_rng(0), count)
        assert len(trace) == count and len(trace.gap) == count - 1 and trace.reward is not None
        assert trace.regime is not None and len(trace.regime) == count
        assert (trace.location is not None) == SCENARIOS[name].metrics.correlated
    again = [generator.draw(np.random.default_rng(7), 300).frames() for _ in range(2)]
    assert again[0].tobytes() == again[1].tobytes()


# --- wrong input -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "arguments", "sentence"),
    [
        (Periodic, (0,), "gap is 0, expected a whole number of time units >= 1"),
        (Bernoulli, (0.0,), "probability is 0.0, expected a probability in 0..1, above 0"),
        (Bernoulli, (float("nan"),), "probability is nan, expected"),
        (Geometric, (0.5,), "mean is 0.5, expected at least the least gap 1"),
        (Geometric, (float("inf"),), "mean is inf, expected at least"),
        (Geometric, (2.0, 0), "least is 0, expected a whole number"),
        (MarkovModulated, ((1,), (0.1,)), "gaps is [1] and leave is [0.1], expected two or more regimes"),
        (MarkovModulated, ((1, 2), (0.1,)), "expected two or more regimes with one entry each"),
        (MarkovModulated, ((1, 0), (0.1, 0.1)), "gaps is [1, 0], expected whole numbers of time units >= 1"),
        (MarkovModulated, ((1, 1.5), (0.1, 0.1)), "gaps is [1, 1.5], expected whole numbers of time units >= 1"),
        (Periodic, (1.5,), "gap is 1.5, expected a whole number of time units >= 1"),
        (MarkovModulated, ((1, 2), (0.1, 1.5)), "leave is 1.5, expected a probability in 0..1, above 0"),
        (MarkovModulated, ((1, 2), (0.1, 0.1), False, ((1.0, 0.0),)), "expected 2 rows of as many probabilities"),
        (MarkovModulated, ((1, 2), (0.1, 0.1), False, ((0.5, 0.6), (1, 0))), "expected 2 rows of as many"),
        (MarkovModulated, ((1, 2), (0.1, 0.1), False, ((1.5, -0.5), (1, 0))), "expected 2 rows of as many"),
        (LocalReset, (1.1, 0.1), "spread is 1.1, expected a number in 0..1"),
        (LocalReset, (0.1, -0.1), "reset is -0.1, expected a number in 0..1"),
        (distribution, ("gauss",), "distribution is 'gauss', expected one of standard, strong-pair, beta"),
        (scenario, ("s4",), "scenario is 's4', expected one of iid, s1,"),
    ],
)
def test_wrong_processes_are_one_sentence(make: Any, arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        make(*arguments)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_scenarios_can_be_changed() -> None:
    assert scenario("iid", spread=0.2).metrics == LocalReset(0.2, 0.01)
    assert scenario("s1", reset=0.5).metrics == LocalReset(0.1, 0.5)
    assert scenario("s1", gaps=(2,)).arrivals == Periodic(2)
    assert scenario("s2", gaps=(1, 6), leave=(0.001, 0.00025)).arrivals == MarkovModulated((1, 6), (0.001, 0.00025))
    assert scenario("iid", arrivals="geometric", mean_gap=3).arrivals == Geometric(3)
    assert scenario("iid", arrivals="bernoulli", mean_gap=4).arrivals == Bernoulli(0.25)
    assert scenario("bernoulli", arrivals="periodic").arrivals == Periodic(1)
    assert scenario("iid", arrivals="markov").arrivals == MarkovModulated()
    assert scenario("iid", distribution_name="strong-pair").weak_loss == 0.103
    bursts = scenario("bursts", gaps=(1, 2, 3)).arrivals
    assert isinstance(bursts, MarkovModulated) and bursts.random and bursts.gaps == (1, 2, 3)
    for name, changes, sentence in (
        ("iid", {"mean_gap": 2.0}, "mean_gap is 2.0, but arrivals are periodic, which take only gaps"),
        ("s2", {"mean_gap": 2.0}, "mean_gap is 2.0, but arrivals are markov, which take only gaps and leave"),
        ("iid", {"gaps": (1, 2)}, "gaps is [1, 2], but arrivals are periodic, expected one gap"),
        ("iid", {"arrivals": "poisson"}, f"arrivals is 'poisson', expected one of {', '.join(ARRIVALS)}"),
        ("bernoulli", {"mean_gap": 0.5}, "mean_gap is 0.5, expected at least 1 time unit"),
        ("bernoulli", {"mean_gap": float("nan")}, "mean_gap is nan, expected at least 1 time unit"),
        ("s2", {"gaps": (1, 2, 3)}, "gaps is [1, 2, 3] and leave is [0.001, 0.0005], expected two or more regimes"),
        ("s2", {"gaps": ()}, "gaps is [] and leave is [0.001, 0.0005], expected two or more regimes"),
    ):
        with pytest.raises(ValueError) as caught:
            scenario(name, **changes)  # type: ignore[arg-type]
        assert str(caught.value).startswith(sentence)


def test_what_given_traces_may_be_told() -> None:
    trace = Trace(np.ones(3), np.ones(2, np.int64))
    assert as_generator(trace, weak_loss=0.3).weak_loss == 0.3
    for source, changes, sentence in (
        (trace, {"spread": 0.1}, "spread is 0.1, but the trace brings its own, expected None"),
        (trace, {"distribution_name": "beta"}, "distribution_name is beta, but the trace brings its own"),
        ("s1", {"weak_loss": 0.3}, "weak_loss is 0.3, but scenario s1 brings its own, expected None"),
        ("none.csv", {}, "none.csv: there is no such file, expected a readable trace file (.csv)"),
    ):
        with pytest.raises(ValueError) as caught:
            as_generator(source, **changes)  # type: ignore[arg-type]
        assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"metric": np.ones(0)}, "the trace is empty, expected at least one frame"),
        ({"gap": np.ones(3, np.int64)}, "gap has 3 entries, expected 1 for 2 frames"),
        ({"gap": np.zeros(1, np.int64)}, "gap has the entry 0, expected whole numbers of ticks >= 1"),
        ({"gap": np.array([1.5])}, "gap holds numbers of type float64, expected whole numbers of ticks"),
        ({"reward": np.ones(3)}, "reward has 3 entries, expected 2"),
        ({"metric": np.array([1.0, np.nan])}, "metric has an entry that is not finite"),
        ({"reward": np.array([1.0, np.inf])}, "reward has an entry that is not finite"),
        ({"regime": np.array([0, -1])}, "regime has the entry -1, expected whole numbers in 0..255"),
        ({"regime": np.array([0, 256])}, "regime has the entry 256, expected whole numbers in 0..255"),
        ({"location": np.array([0, 1.5])}, "location has the entry 1.5, expected numbers in 0..1"),
        ({"location": np.array([0, np.nan])}, "location has the entry nan, expected numbers in 0..1"),
        ({"ticks_per_unit": 0}, "ticks_per_unit is 0, expected a whole number >= 1"),
    ],
)
def test_traces_that_do_not_fit_together_are_one_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        Trace(**{"metric": np.ones(2), "gap": np.ones(1, np.int64), **arguments})
    assert str(caught.value).startswith(sentence)


def test_traces_and_their_rows_hold_the_same() -> None:
    for name in ("iid", "s3"):
        trace = scenario(name).draw(np.random.default_rng(0), 20)
        back = Trace.of_frames(trace.frames(), trace.ticks_per_unit)
        for field in ("metric", "gap", "reward", "regime", "location"):
            assert np.array_equal(getattr(trace, field), getattr(back, field))
        part = trace.window(3, 5)
        rows = trace.frames()[3:8]
        rows[-1, 2] = 0
        assert np.array_equal(part.frames(), rows, equal_nan=True)
        assert trace.units == trace.gap.sum()
