"""Policies on episodes of early exit: what they may know, what they come to, and how they compare."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from early_exit_worlds import random_world

from envs.early_exit.routing import REJECTED, routes
from envs.early_exit.types import ExitTable
from optimal.early_exit.belief_policy import BeliefPrice
from optimal.early_exit.cache_policy import Cache, looks, play_cached
from optimal.early_exit.clusters import cluster
from optimal.early_exit.episode_gaps import REFERENCES, compare, interval, references
from optimal.early_exit.episodes import TUNING_SEED, Episodes
from optimal.early_exit.fixed_policies import Contexts, Mixture, Static, StaticHindsight, all_cloud, all_edge
from optimal.early_exit.limits import Guard, Margin
from optimal.early_exit.month_tables import MonthTables
from optimal.early_exit.planning import Diffusion, plan
from optimal.early_exit.playing import FUTURE, PAST_LABELS, Game, Policy, Script, play
from optimal.early_exit.price_policies import AdaptivePrice
from optimal.early_exit.retuned_policies import Retuned

LINKS = {"bandwidths": (1.0, 0.25), "late": 0.3, "attack_shares": (0.5, 0.9, 0.1), "loads": (0.0, 0.9)}


@pytest.fixture(scope="module")
def training() -> Episodes:
    return Episodes.draw(random_world(), 6, TUNING_SEED)


def causal(training: Episodes) -> list[Policy]:
    """Policies that know nothing to come."""
    mixture = Mixture(training, Contexts())
    two = Mixture(training, cluster(training, 2), name="two-context")
    return [
        Static(training),
        mixture,
        two,
        AdaptivePrice(two),
        BeliefPrice(training),
        Retuned(mixture),
        Retuned(mixture, 0.3, name="ewma"),
    ]


@pytest.mark.parametrize("number", range(7))
def test_what_comes_later_changes_no_decision(training: Episodes, number: int) -> None:
    one = Episodes.draw(training.world, 4)
    frames = one.frames.copy()
    frames[:, 6:-1] = Episodes.draw(training.world, 4, 99).frames[:, 6:-1]
    # what a frame shows of windows before is not of another episode
    seen = training.world.generator.layout.slices["rows"].start
    frames[:, 6, :seen] = one.frames[:, 6, :seen]
    other = Episodes(training.world, frames)
    policy = causal(training)[number]
    actions = [play(policy, Game.of(episodes, 0.2)).actions for episodes in (one, other)]
    assert np.array_equal(actions[0][:, :7], actions[1][:, :7])


@pytest.mark.parametrize("number", range(7))
def test_labels_change_decisions_only_of_those_that_say_so(number: int) -> None:
    world = random_world()
    training = Episodes.draw(world, 4, TUNING_SEED)
    policy = causal(training)[number]
    test = Episodes.draw(world, 3)
    game = Game.of(test, 0.2)
    before = play(policy, game).actions
    test.tables.cost[:] = np.random.default_rng(0).random(test.tables.cost.shape)
    changed = not np.array_equal(before, play(policy, game).actions)
    assert changed == (policy.kind == PAST_LABELS)


def test_no_policy_beats_the_optimum_and_the_gap_runs_from_static_to_it(training: Episodes) -> None:
    test = Episodes.draw(training.world, 3)
    found = compare(references(training, [name for name in REFERENCES if name != "tree"]), test, 0.2, 0.9)
    best = found.of("knapsack")
    assert best is not None and found.closed(best) == pytest.approx(1.0)
    for one in found.played:
        if one.name != "cache":
            assert (one.returns <= best.returns + 1e-9).all(), one.name
        assert one.used.max() <= 1.0
    hindsight, static = found.of("static-hindsight"), found.of("static-any")
    assert hindsight is not None and static is not None and (hindsight.returns >= static.returns - 1e-12).all()
    rows = found.rows()
    assert {row["policy"] for row in rows} == {one.name for one in found.played}
    base = next(row for row in rows if row["policy"] == "static")
    assert base["difference_interval"] == [0.0, 0.0] and base["closed"] == 0.0
    text = found.markdown()
    assert text.count("\n") == len(rows) + 1 and FUTURE in text and "outside" in text


def test_corners() -> None:
    test = Episodes.draw(random_world(), 2)
    edge = play(all_edge(test.world.actions), Game.of(test, 0.0))
    assert not edge.sent.any() and not edge.rejected.any() and not edge.violated.any()
    cloud = play(all_cloud(test.world.actions), Game.of(test, np.inf))
    assert (cloud.sent == 1.0).all() and not cloud.rejected.any() and not cloud.used.any()
    starved = play(all_cloud(test.world.actions), Game.of(test, 0.25))
    assert (starved.over == 9).all() and starved.rejected == pytest.approx([0.75, 0.75]) and starved.violated.all()
    plain = random_world(actions=1).actions
    with pytest.raises(ValueError, match="the last exit accepts everything"):
        all_cloud(plain)


def test_static_is_the_best_action_by_trying_each(training: Episodes) -> None:
    test = Episodes.draw(training.world, 3)
    game = Game.of(test, 0.3)
    returns = np.stack([play(Script(np.array(a)), game).returns for a in range(8)], axis=1)
    assert play(StaticHindsight(), game).returns == pytest.approx(returns.max(axis=1))
    less = Margin().game(training, game)
    means = [play(Script(np.array(a)), less).returns.mean() for a in range(8)]
    assert Static(training, feasible=False).action(game) == int(np.argmax(means))
    tables = training.tables
    chosen = Static(training).action(game)
    assert tables.use[:, :, chosen].mean() <= 0.3 * 40 and tables.accepted[:, :, chosen].mean() >= 0.9 * 40


def test_plans_are_linear_optima() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        cost, use, accepted = rng.random((2, 5)), rng.random((2, 5)), rng.random((2, 5))
        use[:, 0] = 0.0
        weight = np.array([3.0, 5.0])
        found = plan(cost, use, accepted, weight, 2.0, 5.0, 2.0)
        assert found.share.sum(axis=1) == pytest.approx([1.0, 1.0])
        spent = (weight[:, None] * found.share * use).sum()
        assert spent <= 2.0 + 1e-6
        lack = max(0.0, 5.0 - (weight[:, None] * found.share * accepted).sum())
        value = (weight[:, None] * found.share * cost).sum() + 2.0 * lack
        # the bound of its prices is its value: both are optimal
        priced = cost + found.use_price * use - found.accept_price * accepted
        bound = (weight * priced.min(axis=1)).sum() - found.use_price * 2.0 + found.accept_price * 5.0
        assert value == pytest.approx(bound, abs=1e-6)
        assert 0 <= found.accept_price <= 2.0 + 1e-9
    free = plan(cost, use, accepted, weight, np.inf, -1.0, 2.0)
    assert free.use_price == free.accept_price == 0 and np.array_equal(free.share.argmax(axis=1), cost.argmin(axis=1))
    # nothing fits: the plan overspends as little as can be
    short = plan(cost, use + 1.0, accepted, weight, 2.0, 5.0, 2.0)
    assert (weight[:, None] * short.share * (use + 1.0)).sum() == pytest.approx(8.0)


def test_diffusion_takes_actions_as_often_as_said() -> None:
    share = np.array([[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]])
    diffusion = Diffusion(2, 3)
    taken = np.stack([diffusion.choose(share) for _ in range(40)])
    assert [np.bincount(taken[:, s], minlength=3).tolist() for s in range(2)] == [[10, 30, 0], [40, 0, 0]]
    for start in range(36):
        assert 0 <= (taken[start : start + 4, 0] == 0).sum() <= 2
    assert Diffusion(3, 3).choose(share, np.array([0, 2])).tolist() == [1, 0]


def test_guard_keeps_what_might_not_fit(training: Episodes) -> None:
    guard = Guard(np.array([0.0, 5.0, 20.0]))
    state = np.repeat(Game.of(training, 0.1).first[:1], 3, axis=0)
    state[:, 0] = [1.0, 10.0, 30.0]
    assert guard.fits(state).tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    priced = np.array([[3.0, 2.0, 1.0]] * 3)
    assert guard.replace(np.array([2, 2, 2]), priced, state).tolist() == [0, 1, 2]


def test_clusters_tell_months_apart() -> None:
    world = random_world(months=2, rows=400, windows=10, order="calendar")
    training = Episodes.draw(world, 4)
    contexts = cluster(training, 2)
    month = training.frames[:, :-1, world.generator.layout.slices["month"].start]
    own = np.stack([contexts.of(training, t) for t in range(10)], axis=1)
    # the profile, which is part of what is seen, lags; the context of the window before is told by then
    assert contexts.number == 2 and len(np.unique(own)) == 2
    assert (own[:, 1:5] == own[:, 1:2]).all() and (own[:, 9] != own[:, 2]).all() and month[0, 9] == 1


@pytest.mark.parametrize("options", [{}, LINKS])
def test_expected_tables_are_what_windows_come_to_on_average(options: dict[str, object]) -> None:
    world = random_world(2, rows=500, windows=60, deadline_s=0.2, **options)
    model = MonthTables(world)
    cost, use, accepted = model.goods
    episodes = Episodes.draw(world, 12)
    part, tables = world.generator.layout.slices, episodes.tables
    frames = episodes.frames[:, :-1]
    month, share = frames[..., part["month"].start].astype(int), frames[..., part["attack_share"].start]
    link = frames[..., part["link"]]
    shape = episodes.frames[:, 1:, part["shape"]]
    for m, level, k in itertools.product(range(3), range(cost.shape[1]), range(len(model.links))):
        own = (month == m) & (np.abs(share - model.attack_shares[m, level]) < 1e-6)
        own &= (np.abs(link - model.links[k]) < 1e-6).all(axis=2)
        if own.sum() < 8:
            continue
        assert tables.cost[own][:, :8].mean(axis=0) == pytest.approx(cost[m, level, k], abs=0.03)
        assert tables.use[own][:, :8].mean(axis=0) == pytest.approx(use[m, level, k], abs=20)
        assert tables.accepted[own][:, :8].mean(axis=0) == pytest.approx(accepted[m, level, k], abs=20)
        assert shape[own][:, :-1].mean(axis=0) == pytest.approx(model.looks[m, level], abs=0.03)
    hidden, moves = model.moves
    assert hidden.sum(axis=1) == pytest.approx(np.ones(len(hidden)))
    assert moves.sum(axis=1) == pytest.approx(np.ones(len(moves)))
    played = play(BeliefPrice(episodes), Game.of(episodes.head(3), 0.2))
    assert not played.violated.all() and played.used.max() <= 1.0


def test_the_cache_answers_what_it_has_sent() -> None:
    world = random_world(1, rows=30, windows=6)
    episodes = Episodes.draw(world, 2)
    months = world.generator.months
    whole, (point, number) = ExitTable.joined(list(months.tables)), looks(world)
    assert number < len(whole) and len(np.unique(point)) == number
    where, fallback = routes(whole, months.thresholds), world.dynamics.physics[2]
    for action, budget in itertools.product((0, 1, 2, 5), (0.0, 0.1, np.inf)):
        game = Game.of(episodes, budget)
        played = play_cached(game, action)
        for s in range(2):
            left, known, sent, rejected, wrong, over = game.limit, {}, 0, 0, 0, 0
            for t in range(6):
                rows = episodes.frames[s, t, world.generator.layout.slices["rows"]].astype(int)
                fresh: dict[int, int] = {}
                for row in rows:
                    if where[action, row] % REJECTED > 0 and point[row] not in known:
                        fresh.setdefault(point[row], row)
                fits = len(fresh) <= left
                over += not fits
                for row in rows:
                    source, play_as = row, action
                    if where[action, row] % REJECTED > 0:
                        if point[row] in known:
                            source = known[point[row]]
                        elif fits:
                            source = fresh[point[row]]
                        else:
                            play_as = int(fallback[action])
                    at = int(where[play_as, source])
                    if at >= REJECTED:
                        rejected += 1
                    else:
                        wrong += int(whole.predicted[at, source] != whole.label[row])
                if fits:
                    known |= fresh
                    sent += len(fresh)
                    left -= len(fresh)
            assert played.rejected[s] * 180 == pytest.approx(rejected)
            assert played.errors[s] * 180 == pytest.approx(wrong)
            assert played.sent[s] * 180 == pytest.approx(sent) and played.over[s] == over
            lack = max(0.0, game.aim * 180 - (180 - rejected))
            assert -played.returns[s] * 30 == pytest.approx(
                wrong + 0.3 * rejected + world.dynamics.prices.shortfall * lack
            )
    unlimited, plain = Game.of(episodes, np.inf), play(Script(np.array(1)), Game.of(episodes, np.inf))
    assert play_cached(unlimited, 1).sent.max() < plain.sent.min()
    with pytest.raises(ValueError, match="counts rows alone"):
        play_cached(Game.of(Episodes.draw(random_world(late=0.1), 1)), 0)
    assert Cache(episodes).play(game).kind.startswith("outside")


def test_intervals() -> None:
    low, high = interval(np.random.default_rng(0).normal(1.0, 1.0, 400))
    assert low < 1.0 < high and 0.15 < high - low < 0.25


@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_a_game_earns_what_the_environment_pays(margin: float) -> None:
    world = random_world(least_acceptance=0.93, margin=margin, budget=0.2)
    game = Game.of(Episodes.draw(world, 2))
    plan = np.random.default_rng(0).integers(0, 8, 12)
    played = play(Script(plan), game)
    for s in range(2):
        _, state = world.begin(np.random.default_rng(0), game.episodes.frames[s])
        total = 0.0
        for t, action in enumerate(plan):
            state, reward = world.dynamics.transition(
                np.atleast_2d(state), game.episodes.frames[s, t : t + 1], np.array([action])
            )
            total += float(reward[0])
        assert played.returns[s] == pytest.approx(total, abs=1e-12)
    assert (played.violated == (played.accepted < 0.93 - 1e-9)).all()
