"""Exact references of token-bucket offloading: every one against another way to get the same number."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.token_bucket.arrivals import Bernoulli, Geometric, MarkovModulated, Periodic
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.dynamics import tokens_after
from envs.token_bucket.metrics import LocalReset, distribution
from envs.token_bucket.scenarios import scenario
from envs.token_bucket.streams import Streams, replay
from optimal.token_bucket.average_reward import Problem
from optimal.token_bucket.baselines import Chance, Greedy, Never, always_loss, fixed_threshold, lower_bound, send_share
from optimal.token_bucket.belief import belief
from optimal.token_bucket.clairvoyant import Clairvoyant, best_sends
from optimal.token_bucket.full_information import full_information, problem_of
from optimal.token_bucket.gaps import GapLaw
from optimal.token_bucket.iid_mdp import gain_of, iid_mdp, iid_mdp_of, iid_mdp_of_traces
from optimal.token_bucket.laws import MetricLaws
from optimal.token_bucket.policy import losses
from optimal.token_bucket.published_mdp import published_mdp_of
from optimal.token_bucket.regime_mdp import regime_mdp

STANDARD = distribution("standard")
LAWS = MetricLaws.of_distribution(STANDARD)
BUCKET = Bucket.of(0.1, 4)
S1 = scenario("s1")


@pytest.fixture(scope="module")
def s1() -> Streams:
    return Streams.draw(S1, 8, 50_000, 0)


# --- laws of metric and gap ------------------------------------------------------------------------------------------
def test_shares_and_masses_above_a_threshold_are_exact() -> None:
    thresholds = np.array([[[-1.0, 0.0026, 0.3, 0.55, 0.66, 0.7, np.inf]]])
    share, mass = LAWS.tails(thresholds)
    u = (np.arange(2_000_000) + 0.5) / 2_000_000
    m = STANDARD.quantile(u)
    for theta, one_share, one_mass in zip(thresholds.ravel(), share.ravel(), mass.ravel(), strict=True):
        assert one_share == pytest.approx((m >= theta).mean(), abs=2e-6)
        assert one_mass == pytest.approx(np.where(m >= theta, m, 0).mean(), abs=2e-6)
    assert mass[0, 0, 0] == pytest.approx(STANDARD.mean, abs=1e-12)


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.7, 1.0])
def test_windows_are_those_of_the_process(spread: float) -> None:
    starts = np.array([0.0, 0.33, 0.95])
    laws = MetricLaws.of_windows(STANDARD, starts, spread)
    u = (starts[:, None] + spread * (np.arange(200_000) + 0.5) / 200_000) % 1.0
    m = STANDARD.quantile(u)
    for theta in (0.01, 0.2, 0.5):
        share, mass = laws.tails(np.full((1, len(laws), 1), theta))
        for i in range(len(laws)):
            assert share[0, i, 0] == pytest.approx((m[i] >= theta).mean(), abs=1e-4)
            assert mass[0, i, 0] == pytest.approx((m[i] * (m[i] >= theta)).mean(), abs=1e-4)


def test_samples_count_each_once() -> None:
    laws = MetricLaws.of_samples(np.array([0.3, 0.1, 0.3, -0.2]))
    share, mass = laws.tails(np.array([[[0.3, 0.2, 0.1, -1.0, 0.31]]]))
    assert share.ravel() == pytest.approx([0.5, 0.5, 0.75, 1.0, 0.0])
    assert mass.ravel() == pytest.approx([0.15, 0.15, 0.175, 0.125, 0.0])
    with pytest.raises(ValueError, match="expected at least one number"):
        MetricLaws.of_samples(np.zeros(0))


@pytest.mark.parametrize(
    "arrivals",
    [
        MarkovModulated((1, 3), (0.3, 0.15)),
        MarkovModulated((2, 5, 3), (0.2, 0.1, 0.05)),
        MarkovModulated((1, 4, 16), (0.1, 0.05, 0.2), random=True),
        MarkovModulated((1, 2, 4), (0.2, 0.3, 0.5), next_regime=((0, 0.9, 0.1), (0.5, 0, 0.5), (1, 0, 0))),
        Geometric(4.5, 3),
        Bernoulli(0.3),
        Periodic(3),
    ],
)
def test_the_law_of_gaps_is_that_of_the_process(arrivals: MarkovModulated) -> None:
    law = GapLaw.of(arrivals)
    assert law.joint.sum(axis=(1, 2)) == pytest.approx(np.ones(law.regimes))
    gaps, regimes = arrivals.sample(np.random.default_rng(1), 400_001)
    counts = np.zeros_like(law.joint)
    np.add.at(counts, (regimes[:-1], np.minimum(gaps, law.joint.shape[1]) - 1, regimes[1:]), 1)
    expected = law.frame_shares[:, None, None] * law.joint
    assert np.abs(counts / 400_000 - expected).max() < 0.004
    assert law.mean == pytest.approx(gaps.mean(), rel=0.01)
    assert law.marginal().joint.sum() == pytest.approx(1.0)


def test_bad_gaps_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a process"):
        GapLaw.of(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ticks"):
        GapLaw.of_samples(np.array([0, 1]))
    with pytest.raises(ValueError, match="last long enough"):
        GapLaw.of(MarkovModulated((3, 3), (1.0, 1.0)))


# --- independent frames ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("rate", "depth"), [(0.05, 4), (0.1, 1), (0.1, 4), (0.25, 4), ("1/3", 1.5)])
def test_the_gain_is_what_the_simulation_earns(rate: float | str, depth: float) -> None:
    generator, bucket = scenario("iid"), Bucket.of(rate, depth)
    policy = iid_mdp_of(generator, bucket)
    assert policy.bounds[1] - policy.bounds[0] < 1e-9
    found = losses(policy, Streams.draw(generator, 16, 50_000, 5), bucket)
    assert abs(found.mean() - (0.2985 - policy.gain)) < 3 * found.std(ddof=1) / 4
    assert (np.diff(policy.thresholds[bucket.cost :]) <= 1e-9).all()
    assert np.isinf(policy.thresholds[: bucket.cost]).all()
    law = GapLaw.of(generator.arrivals)
    assert gain_of(bucket, law, LAWS, policy.thresholds) == pytest.approx(policy.gain, abs=1e-10)


@pytest.mark.parametrize("arrivals", [Bernoulli(0.4), Geometric(3.0, 2), MarkovModulated((1, 3), (0.2, 0.1))])
def test_the_gain_counts_gaps_of_all_kinds(arrivals: Bernoulli) -> None:
    generator = replace(scenario("iid"), arrivals=arrivals)
    streams = Streams.draw(generator, 16, 30_000, 6)
    policy = regime_mdp(generator, BUCKET) if arrivals.regimes > 1 else iid_mdp_of(generator, BUCKET)
    # those regimes show in each gap but the odd ones, which the posterior settles
    found = losses(policy, streams, BUCKET)
    slack = 0.0005 if arrivals.regimes > 1 else 0.0
    assert abs(found.mean() - (0.2985 - policy.gain)) < 3 * found.std(ddof=1) / 4 + slack


def brute_gain(bucket: Bucket, metrics: NDArray[np.float64], gap: int) -> float:
    """The best average reward by trying every policy (levels x metrics), with stationary shares by powers."""
    levels = bucket.capacity + 1
    able = [n for n in range(bucket.refill, levels) if n >= bucket.cost]
    best = 0.0
    for picks in product(range(2 ** len(metrics)), repeat=len(able)):
        chain, reward = np.zeros((levels, levels)), np.zeros(levels)
        for n in range(levels):
            for index, metric in enumerate(metrics):
                sent = n in able and picks[able.index(n)] >> index & 1
                chain[n, tokens_after(n, bucket.refill, bucket.cost, bucket.capacity, gap, bool(sent))] += 1 / len(
                    metrics
                )
                reward[n] += metric / len(metrics) if sent else 0.0
        shares = np.linalg.matrix_power((chain + np.eye(levels)) / 2, 4096)[bucket.capacity]
        best = max(best, float(shares @ reward))
    return best


@pytest.mark.parametrize(("rate", "depth", "gap"), [("1/3", 1, 1), ("1/2", 1.5, 1), ("1/4", 1, 2), ("2/5", 1, 1)])
def test_no_policy_on_a_tiny_bucket_is_better(rate: str, depth: float, gap: int) -> None:
    bucket, metrics = Bucket.of(rate, depth), np.array([0.1, 0.5, 0.8])
    policy = iid_mdp(bucket, GapLaw.of(Periodic(gap)), MetricLaws.of_samples(metrics))
    assert policy.gain == pytest.approx(brute_gain(bucket, metrics, gap), abs=1e-9)


@pytest.mark.parametrize("name", ["iid", "s1", "s2", "s3"])
def test_policy_iteration_and_value_iteration_agree(name: str) -> None:
    generator = scenario(name, **({"reset": 0.2} if name in ("s1", "s3") else {}))
    if generator.arrivals.regimes > 1:
        generator = replace(generator, arrivals=MarkovModulated((1, 3), (0.05, 0.1)))
    problem = problem_of(generator, Bucket.of("1/3", 2), cells=5)
    fast, slow = problem.solve(dense=True), problem.solve(dense=False)
    assert fast.gain == pytest.approx(slow.gain, abs=2e-10)
    assert fast.values == pytest.approx(slow.values, abs=1e-6)


def test_traces_are_samples() -> None:
    generator = scenario("iid")
    trace = generator.draw(np.random.default_rng(0), 20_000)
    known, sampled = iid_mdp_of(generator, BUCKET), iid_mdp_of_traces([trace], BUCKET)
    assert sampled.gain == pytest.approx(known.gain, abs=0.002)
    with pytest.raises(ValueError, match="at least one trace"):
        iid_mdp_of_traces([], BUCKET)


def test_the_published_variant_is_close_and_not_better_on_its_own_model() -> None:
    generator = scenario("iid")
    exact, published = iid_mdp_of(generator, BUCKET), published_mdp_of(generator, BUCKET)
    gain = gain_of(BUCKET, GapLaw.of(generator.arrivals), LAWS, published.thresholds)
    assert exact.gain - 0.001 < gain < exact.gain
    assert len(np.unique(published.thresholds)) < BUCKET.capacity - BUCKET.cost  # plateaus of the noisy hull


# --- hidden state ----------------------------------------------------------------------------------------------------
def test_belief_beats_the_blind_policy_and_not_the_clairvoyant(s1: Streams) -> None:
    blind, aware = (losses(one, s1, BUCKET) for one in (iid_mdp_of(S1, BUCKET), belief(S1, BUCKET)))
    assert (aware < blind).all() and (blind - aware).mean() > 0.003
    for realised in (False, True):
        best = losses(Clairvoyant(realised), s1, BUCKET, realised=realised)
        assert (best <= losses(belief(S1, BUCKET), s1, BUCKET, realised=realised)).all()


@pytest.mark.parametrize("name", ["s1", "s3"])
def test_full_information_earns_its_gain_and_bounds_the_belief(name: str) -> None:
    generator = scenario(name)
    if name == "s3":  # faster regimes, or their mix would be all that is seen
        generator = replace(generator, arrivals=MarkovModulated((1, 3), (0.02, 0.01)), metrics=LocalReset(0.1, 0.1))
    streams = Streams.draw(generator, 8, 50_000, 2)
    policy = full_information(generator, BUCKET)
    found = losses(policy, streams, BUCKET)
    assert abs(found.mean() - (0.2985 - policy.gain)) < 3 * found.std(ddof=1) / 8**0.5 + 0.0003  # the grid
    assert 0 <= (losses(belief(generator, BUCKET), streams, BUCKET) - found).mean() < 0.0008


def test_regimes_that_are_alike_are_none() -> None:
    generator = replace(scenario("iid"), arrivals=MarkovModulated((2, 2), (0.01, 0.02), random=True))
    alike, plain = regime_mdp(generator, BUCKET), iid_mdp_of(replace(generator, arrivals=Bernoulli(0.5)), BUCKET)
    assert alike.gain == pytest.approx(plain.gain, abs=1e-9)
    assert alike.thresholds[1, BUCKET.cost :, 0] == pytest.approx(plain.thresholds[BUCKET.cost :], abs=1e-6)
    streams = Streams.draw(generator, 2, 5_000, 0)
    assert (alike.play(streams, BUCKET) == plain.play(streams, BUCKET)).all()


def test_regimes_that_are_told_by_nothing_but_many_gaps_help() -> None:
    generator = replace(scenario("iid"), arrivals=MarkovModulated((1, 4, 16), (0.004, 0.002, 0.001), random=True))
    streams = Streams.draw(generator, 8, 50_000, 3)
    blind, aware = (
        losses(one, streams, BUCKET).mean() for one in (iid_mdp_of(generator, BUCKET), regime_mdp(generator, BUCKET))
    )
    assert aware < blind - 0.001


def test_belief_on_independent_frames_is_the_iid_policy() -> None:
    generator = scenario("iid")
    streams = Streams.draw(generator, 2, 20_000, 0)
    assert (
        belief(generator, BUCKET).play(streams, BUCKET) == iid_mdp_of(generator, BUCKET).play(streams, BUCKET)
    ).all()


@pytest.mark.parametrize("spread", [0.0, 0.003, 0.97])
def test_belief_takes_any_spread(spread: float) -> None:
    generator = scenario("s1", spread=spread)
    streams = Streams.draw(generator, 2, 20_000, 0)
    aware, blind = (
        losses(one, streams, BUCKET).mean() for one in (belief(generator, BUCKET), iid_mdp_of(generator, BUCKET))
    )
    assert aware <= blind + 1e-4


def test_what_no_reference_can_be_made_for_is_refused() -> None:
    with pytest.raises(ValueError, match="reset is 0"):
        full_information(scenario("s1", reset=0.0), BUCKET)
    with pytest.raises(ValueError, match="at least 2"):
        full_information(S1, BUCKET, cells=1)
    with pytest.raises(ValueError, match="made for"):
        iid_mdp_of(S1, BUCKET).play(Streams.draw(S1, 1, 10, 0), Bucket.of(0.2, 4))
    with pytest.raises(ValueError, match="ticks"):
        Greedy().play(Streams.draw(S1, 1, 10, 0), Bucket.of(0.1, 4, ticks_per_unit=2))
    with pytest.raises(ValueError, match="one law"):
        iid_mdp(BUCKET, GapLaw.of(Periodic()), MetricLaws.of_windows(STANDARD, np.array([0.0, 0.5]), 0.1))
    with pytest.raises(ValueError, match="one"):
        Problem(
            BUCKET, GapLaw.of(Periodic()), MetricLaws.of_windows(STANDARD, np.array([0.0, 0.5]), 0.1), 0.5
        ).stationary(np.zeros((1, 2, BUCKET.capacity + 1)))
    with pytest.raises(ValueError, match="shape"):
        gain_of(BUCKET, GapLaw.of(Periodic()), LAWS, np.zeros(3))


# --- baselines -------------------------------------------------------------------------------------------------------
def test_baselines_send_what_they_say(s1: Streams) -> None:
    share = send_share(BUCKET, GapLaw.of(S1.arrivals))
    assert share == pytest.approx(0.1)
    for policy in (Greedy(), Chance(share), Never(), fixed_threshold(S1, BUCKET)):
        sent = policy.play(s1, BUCKET)
        assert replay(s1, BUCKET, sent).violations.sum() == 0 and policy.kind == "baseline"
    assert Greedy().play(s1, BUCKET).mean() == pytest.approx(0.1, abs=0.001)
    assert not Never().play(s1, BUCKET).any()
    assert always_loss(S1) == pytest.approx(0.2985 - STANDARD.mean)
    assert lower_bound(S1, BUCKET) < losses(belief(S1, BUCKET), s1, BUCKET).mean()
    with pytest.raises(ValueError, match="share is 2"):
        Chance(2.0)


# --- the clairvoyant -------------------------------------------------------------------------------------------------
def test_long_traces_are_solved_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from optimal.token_bucket import clairvoyant

    rng = np.random.default_rng(0)
    value, gap = rng.random(1_000), rng.integers(1, 9, 1_000)
    whole = best_sends(value, gap, BUCKET)
    monkeypatch.setattr(clairvoyant, "_BLOCK", 64 * 64)
    parts = best_sends(value, gap, BUCKET)
    assert parts[0] == whole[0] and (parts[1] == whole[1]).all()
    assert value[whole[1]].sum() == pytest.approx(whole[0], abs=1e-9)
    with pytest.raises(ValueError, match="as many"):
        best_sends(value, gap[1:], BUCKET)
