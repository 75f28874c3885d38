"""What episodes of early exit come to, row by row in plain Python, and an episode compared with that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from early_exit_worlds import random_actions, random_table

from envs.early_exit.costs import NetworkWork
from envs.early_exit.env import EarlyExitEnv
from envs.early_exit.state import LAST
from envs.early_exit.types import ATTACK, ExitTable, Thresholds

WORKS = {
    1: NetworkWork((2_000,), (30,), (0,), 232),
    2: NetworkWork((2_000, 70_000), (30, 500), (128, 0), 232),
    3: NetworkWork((2_000, 50_000, 900_000), (30, 400, 700), (128, 64, 0), 232),
}
RATES: dict[str, Any] = {
    "edge_macs_per_s": 2e6, "edge_joules_per_mac": 3e-9, "cloud_macs_per_s": 1e8, "cloud_overhead_s": 0.004,
    "link_bytes_per_s": 5e4, "link_round_trip_s": 0.02, "link_joules_per_byte": 2e-6,
}  # fmt: skip
PRICES: dict[str, Any] = {
    "false_positive": 0.7, "false_negative": 1.9, "rejection": 0.31, "send": 0.05, "joule": 11.0, "late": 0.4,
    "shortfall": 2.0,
}  # fmt: skip
COUNTS = (
    "true_positives",
    "true_negatives",
    "false_positives",
    "false_negatives",
    "rejected",
    "passed",
    "sent",
    "late",
)


class ByHand:
    """What a window comes to, row by row in plain Python, from tables, thresholds and rates alone."""

    def __init__(self, months: list[ExitTable], actions: Thresholds, **options: Any) -> None:
        self.rows = [(table, row) for table in months for row in range(len(table))]
        self.accept, self.reject, self.exits = actions.accept.tolist(), actions.reject.tolist(), actions.exits
        self.work, self.remote = WORKS[actions.exits], options.get("remote_from", 2)
        self.features = options.get("sends", "input") == "features" and self.remote > 1
        self.deadline, self.unit = options["deadline_s"], options.get("budget_of", "rows")
        self.first_charged = next((k for k in range(1, self.exits) if self.use(k) > 0), self.exits)

    def bytes_to(self, k: int) -> float:
        if k + 1 != self.remote:
            return 0.0
        return float(self.work.feature_bytes[k - 1] if self.features else self.work.input_bytes)

    def joules_to(self, k: int) -> float:
        computed = self.work.block_macs[k] + self.work.exit_macs[k] if k + 1 < self.remote else 0
        return computed * RATES["edge_joules_per_mac"] + self.bytes_to(k) * RATES["link_joules_per_byte"]

    def seconds_to(self, k: int, bandwidth: float, load: float) -> float:
        macs = self.work.block_macs[k] + self.work.exit_macs[k]
        if k + 1 < self.remote:
            return macs / RATES["edge_macs_per_s"]
        if k + 1 > self.remote:
            return macs / RATES["cloud_macs_per_s"] / (1 - load)
        macs += 0 if self.features else sum(self.work.block_macs[:k])  # the cloud begins anew with the row itself
        cloud = (macs / RATES["cloud_macs_per_s"] + RATES["cloud_overhead_s"]) / (1 - load)
        return cloud + (RATES["link_round_trip_s"] + self.bytes_to(k) / RATES["link_bytes_per_s"]) / bandwidth

    def use(self, k: int) -> float:
        return float(k + 1 == self.remote) if self.unit == "rows" else self.joules_to(k)

    def way(self, row: int, action: int, fallback: bool) -> tuple[int, bool]:
        """The exit, from 0, at which a row ends, and whether it is answered there."""
        table, at = self.rows[row]
        for k in range(self.exits):
            c, certainty = int(table.predicted[k, at]), float(table.certainty[k, at])
            if certainty >= self.accept[action][k][c]:
                return k, True
            if (
                k + 1 == self.exits
                or certainty < self.reject[action][k][c]
                or (fallback and k + 1 == self.first_charged)
            ):
                return k, False
        raise AssertionError

    def window(
        self, rows: Any, action: int, left: float, bandwidth: float, load: float, on_tie: bool
    ) -> dict[str, float]:
        """``on_tie``: whether joules that are just what is left, but for the rounding of sums, count as too many."""
        for fallback in (False, True):
            found = dict.fromkeys((*COUNTS, "joules", "bytes", "cost_budget", "answered", "differ"), 0.0)
            sure = 0.0
            for row in rows:
                end, answered = self.way(row, action, fallback)
                table, at = self.rows[row]
                truth, answer = int(table.label[at]), int(table.predicted[end, at])
                if answered:
                    right = "true" if truth == answer else "false"
                    found[f"{right}_{'positives' if answer == ATTACK else 'negatives'}"] += 1
                else:
                    found["rejected"] += 1
                found["answered"] += answered and end == 0
                found["passed"] += end > 0
                found["differ"] += end > 0 and answer != int(table.predicted[0, at])
                sure += float(table.certainty[end, at]) if end > 0 else 0.0
                found["late"] += sum(self.seconds_to(k, bandwidth, load) for k in range(end + 1)) > self.deadline
                for k in range(end + 1):
                    found["sent"] += k + 1 == self.remote
                    found["joules"] += self.joules_to(k)
                    found["bytes"] += self.bytes_to(k)
                    found["cost_budget"] += self.use(k) if k > 0 else 0.0
            tie = self.unit == "joules" and found["cost_budget"] > 0 and abs(found["cost_budget"] - left) < 1e-12
            if fallback or (not on_tie if tie else found["cost_budget"] <= left + 1e-12):
                break
        found["over_budget"] = float(fallback)
        found["sureness"] = sure
        price = [PRICES[name] for name in ("false_positive", "false_negative", "rejection", "send", "joule", "late")]
        amount = [found[name] for name in ("false_positives", "false_negatives", "rejected", "sent", "joules", "late")]
        found["cost"] = sum(p * n for p, n in zip(price, amount, strict=True)) / len(rows)
        return found


def on_certainties(actions: Thresholds, table: ExitTable, seed: int) -> Thresholds:
    """The actions with half of the thresholds that are neither 0 nor 2 moved to certainties that rows have."""
    rng = np.random.default_rng(seed)
    points = np.stack([rng.choice(one, actions.accept.shape[::2]) for one in table.certainty], axis=1)
    moved = [
        np.where((0 < one) & (one < 2) & (rng.random(one.shape) < 0.5), points, one)
        for one in (actions.accept, actions.reject)
    ]
    return Thresholds(*moved)


def play_and_check(seed: int, exits: int, windows: int = 5, **options: Any) -> int:
    """Play an episode with random actions, compare every number with that by hand; returns windows over the budget."""
    months = [random_table(seed + m, 50, exits, points=12) for m in range(2)]
    actions = on_certainties(random_actions(seed, 7, exits), months[0], seed)
    given = {"deadline_s": 0.03, "scenario": "mixed", "rows": 13, "least_acceptance": 0.8, "margin": 0.01} | options
    env = EarlyExitEnv(
        tables=months, actions=actions, work=WORKS[exits], windows=windows, **(RATES | PRICES | given)
    )  # fmt: skip
    world = env.world
    hand = ByHand(months, actions, **given)
    observation, info = env.reset(seed=seed)
    share, most = world.budgets[0], windows * 13 * sum(hand.use(k) for k in range(1, exits))
    whole = share if share == np.inf else share * most
    assert info["budget_left"] == pytest.approx(whole) and info["acceptance"] == 1.0 and info["windows_left"] == windows
    rng, part = np.random.default_rng(seed), world.generator.layout.slices
    left, accepted, lack, over = whole, 0.0, 0.0, 0
    for t in range(windows):
        frame = env.exogenous
        bandwidth, load = map(float, frame[part["link"]])
        action = int(rng.integers(7))
        rows = frame[part["rows"]].astype(int).tolist()
        observation, reward, terminated, truncated, info = env.step(action)
        found = hand.window(rows, action, left, bandwidth, load, bool(info["over_budget"]))
        assert not terminated and truncated == (t == windows - 1)
        for name in (*COUNTS, "joules", "bytes", "cost_budget", "over_budget", "cost"):
            assert info[name] == pytest.approx(found[name], rel=1e-12, abs=1e-15), (name, t)
        right = info["true_positives"] + info["true_negatives"]
        assert right + info["false_positives"] + info["false_negatives"] + info["rejected"] == 13
        left -= found["cost_budget"]
        accepted += 13 - found["rejected"]
        over += int(found["over_budget"])
        before, lack = lack, max(0.0, 0.81 * 13 * (t + 1) - accepted)
        assert info["cost_acceptance"] == pytest.approx(lack - before, abs=1e-9)
        charged = {"terminal": lack * (t == windows - 1), "incremental": lack - before, "none": 0.0}
        wanted = -found["cost"] - PRICES["shortfall"] * charged[given.get("constraint", "terminal")] / 13
        assert reward == pytest.approx(wanted, abs=1e-9)
        assert info["budget_left"] == pytest.approx(left, abs=1e-9) and info["budget_left"] >= 0
        assert info["acceptance"] == pytest.approx(accepted / 13 / (t + 1))
        assert (info["bandwidth"], info["load"]) == (bandwidth, load)
        check_last(observation, env, found)
    return over


def check_last(observation: Any, env: EarlyExitEnv, found: dict[str, float]) -> None:
    """The slices of the window that was decided."""
    layout, passed = env.observation_layout, max(found["passed"], 1)
    last = [found["answered"] / 13, found["passed"] / 13, found["rejected"] / 13]
    last += [found["differ"] / passed, found["sureness"] / passed]
    np.testing.assert_allclose(observation[layout["last"]], last, rtol=1e-6)
    action = int(env.endogenous[LAST])
    both = np.concatenate([env.world.actions.accept[action], env.world.actions.reject[action]], axis=1)
    np.testing.assert_allclose(observation[layout["last_action"]], np.minimum(both, 1).ravel(), rtol=1e-6)
