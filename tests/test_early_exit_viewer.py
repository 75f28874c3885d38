"""Rendering of early exit: what the snapshot says, pictures, text, the window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from envs import drawing
from envs.early_exit import viewer
from envs.early_exit.costs import NetworkWork
from envs.early_exit.dynamics import COST, R_FN, R_FP, R_OVER, R_PASSED, R_REJECTED, R_SENT, R_TN, R_TP
from envs.early_exit.env import EarlyExitEnv
from envs.early_exit.panels import HEIGHT, WIDTH, end_colours, exit_colour, rule_text, threshold
from envs.early_exit.snapshot import CERTAINTY_BINS, take_snapshot
from envs.early_exit.table_file import save_table
from envs.early_exit.types import ExitTable, Thresholds

MARGIN = 8
"""Nothing is drawn this close to the edge; what is cut off would be."""


def table(seed: int, exits: int, rows: int = 300, lowest: float = 0.5) -> ExitTable:
    """Random rows, whose certainties are in part mass points and agree with how often the exits are right."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, rows).astype(np.int8)
    points = np.round(1 - (1 - lowest) * rng.beta(0.5, 2, 20), 6)
    loose = np.round(1 - (1 - lowest) * rng.beta(0.5, 2, (exits, rows)), 6)
    certainty = np.where(rng.random((exits, rows)) < 0.5, points[rng.zipf(1.5, (exits, rows)) % 20], loose)
    predicted = np.where(rng.random((exits, rows)) < certainty, label, 1 - label).astype(np.int8)
    return ExitTable(label, predicted, certainty)


def make(exits: int = 2, lowest: float = 0.5, **options: Any) -> EarlyExitEnv:
    """Three months, four actions: answer all at exit 1, pass on what is unsure, reject the least sure, pass on nothing."""
    accept, reject = np.full((4, exits, 2), 0.6), np.zeros((4, exits, 2))
    accept[0], accept[1:3, 0] = 0.0, (0.85, 0.75)
    reject[2, 0], reject[3, 0] = 0.65, 2.0
    names = ("all at exit 1", "unsure go on", "[red]least sure[/red] rejected", "nothing goes on")
    given: dict[str, Any] = {
        "tables": [table(seed, exits, lowest=lowest) for seed in range(3)],
        "months": [],
        "actions": Thresholds(accept, reject, names),
        "work": NetworkWork((100,) * exits, (10,) * exits, (20,) * (exits - 1) + (0,), 232),
        "rows": 40,
        "windows": 12,
    }
    return EarlyExitEnv(**(given | options))


def play(env: EarlyExitEnv, *actions: int) -> None:
    for action in actions:
        env.step(action)


def check_picture(frame: np.ndarray) -> None:
    assert frame.dtype == np.uint8
    assert frame.shape == (HEIGHT, WIDTH, 3)
    edge = frame.copy()
    edge[MARGIN:-MARGIN, MARGIN:-MARGIN] = 255
    assert not np.argwhere((edge < 255).any(axis=2)).tolist()


def has(frame: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((frame == colour).all(axis=2).any())


def texts_of(env: EarlyExitEnv, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is written into the picture of the present state."""
    texts: list[str] = []
    write = drawing.Canvas.text

    def listen(canvas: drawing.Canvas, x: float, y: float, text: str, *rest: Any, **options: Any) -> float:
        texts.append(text)
        return write(canvas, x, y, text, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(drawing.Canvas, "text", listen)
        viewer.Viewer().draw(env)
    return texts


@pytest.mark.parametrize(
    ("exits", "options"),
    [
        (1, {"scenario": "drift"}),
        (2, {"scenario": "budget", "include_latent": True}),
        (2, {"scenario": "mixed", "bandwidths": (1.0, 0.25), "link_change": 0.5, "joule": 1.0, "send": 0.1}),
        (2, {"budget": 0.0, "least_acceptance": 1.0}),
        (3, {"budget": np.inf, "remote_from": 3, "least_acceptance": 0.0, "lowest": 0.0}),
        (3, {"budget": 0.1, "budget_of": "joules", "windows": 1}),
        (10, {"budget": 0.2, "windows": 300, "rows": 3}),
    ],
)
def test_every_picture_has_the_same_shape_and_nothing_is_changed(exits: int, options: dict[str, Any]) -> None:
    env = make(exits, render_mode="rgb_array", **options)
    env.reset(seed=4)
    rng, over = np.random.default_rng(0), False
    while not over:
        if env.clock % 83 in (0, 1, 6):
            before = (env.endogenous, env.exogenous, env.frames, env._totals.copy(), env._report.copy())
            check_picture(env.render())
            env.render()[:] = 0  # a frame belongs to the caller
            assert "nan" not in viewer.to_text(env)
            after = (env.endogenous, env.exogenous, env.frames, env._totals, env._report)
            for old, new in zip(before, after, strict=True):
                np.testing.assert_array_equal(old, new)
        over = env.step(int(rng.integers(4)))[3]
    assert take_snapshot(env).over
    check_picture(env.render())
    assert "episode over" in viewer.to_text(env)


@pytest.mark.parametrize(("exits", "budget"), [(2, 0.05), (3, 0.05), (3, np.inf)])
def test_counts_of_the_snapshot_are_those_of_the_reports(exits: int, budget: float) -> None:
    env = make(exits, scenario="mixed", budget=budget)
    env.reset(seed=1)
    over = False
    while not over:
        over = env.step((1, 1, 2, 3, 0)[env.clock % 5])[3]
        snap = take_snapshot(env)
        assert (snap.ends.sum(axis=1) == snap.rows).all()
        np.testing.assert_array_equal(snap.ends[:, -1], snap.reports[:, R_REJECTED])
        assert snap.totals[[R_TN, R_FP, R_FN, R_TP]].tolist() == snap.confusion[:, :2].reshape(-1).tolist()
        assert snap.confusion.sum() == snap.seen
        assert sum(value for _, value in snap.costs) == pytest.approx(snap.cost)
        assert snap.acceptance[-1] == pytest.approx(env._status[1])
        assert snap.left[-1] == env._status[0]
        assert snap.last is not None
        assert snap.last.histogram.sum() == snap.rows
        np.testing.assert_array_equal(snap.last.histogram.sum(axis=(0, 1)), snap.ends[-1])
        assert snap.last.histogram.sum(axis=2).max() <= snap.top * snap.rows + 1e-9
    assert snap.lack == pytest.approx(max(0.0, 0.9 * snap.seen * (1 - snap.acceptance[-1] / 0.9)))
    assert (snap.reports[:, R_OVER] > 0).any() == (budget < np.inf)


def test_snapshot_by_hand() -> None:
    """Four rows, one of each kind, and thresholds that part them."""
    with pytest.raises(ResetNeeded, match=r"reset\(\)"):
        take_snapshot(make())
    label = np.array([0, 1, 0, 1], np.int8)
    predicted = np.array([[0, 1, 1, 0], [0, 1, 0, 1]], np.int8)
    certainty = np.array([[0.51, 1.0, 0.9, 0.7], [0.9, 0.9, 0.9, 0.9]])
    accept = np.array([[[0.7, 0.95], [0.0, 0.0]]])
    reject = np.array([[[0.6, 0.0], [0.0, 0.0]]])
    env = EarlyExitEnv(
        tables=[ExitTable(label, predicted, certainty)], months=[], actions=Thresholds(accept, reject), rows=400, windows=2,
        budget=0.5, send=0.1,
    )  # fmt: skip
    env.reset(seed=0)
    assert take_snapshot(env).last is None
    env.step(0)
    snap = take_snapshot(env)
    drawn = np.bincount(env.frames[0, env.world.generator.layout.slices["rows"]].astype(int), minlength=4)
    # row 0 is rejected at exit 1, row 1 answered there, row 2 sent and answered rightly, row 3 answered wrongly at exit 1
    assert snap.ends[0].tolist() == [drawn[1] + drawn[3], drawn[2], drawn[0]]
    assert snap.confusion.tolist() == [[drawn[2], 0, drawn[0]], [drawn[3], drawn[1], 0]]
    assert snap.error == pytest.approx(drawn[3] / (400 - drawn[0]))
    assert snap.share(R_SENT) == drawn[2] / 400
    assert dict(snap.costs)["sends"] == pytest.approx(0.1 * drawn[2] / 400)
    assert (snap.budget, snap.left.tolist(), snap.unit, snap.even) == (400.0, [400.0, 400.0 - drawn[2]], "rows", 0.5)
    last = snap.last
    assert last is not None and not last.over_budget and last.name == ""
    bins = {0: (0, 0, 2), 1: (1, CERTAINTY_BINS - 1, 0), 2: (1, 40, 1), 3: (0, 20, 0)}
    expected = np.zeros((2, CERTAINTY_BINS, 3), int)
    for row, (answer, at, end) in bins.items():
        expected[answer, at + (row == 0), end] = drawn[row]  # 0.51 is the lower edge of the second bin
    np.testing.assert_array_equal(last.histogram, expected)
    assert (last.accept.tolist(), last.reject.tolist()) == ([0.7, 0.95], [0.6, 0.0])
    assert (last.rejected_below == last.reject).all()


def test_what_was_played_over_the_budget_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(budget=0.0)
    env.reset(seed=0)
    play(env, 1)
    snap = take_snapshot(env)
    assert snap.last is not None and snap.last.over_budget
    assert snap.last.reject.tolist() == [0.0, 0.0] and (snap.last.rejected_below > 1).all()
    assert snap.ends[0, 1] == 0 and snap.ends[0, 2] > 0
    assert "over budget: unsure rows are rejected" in texts_of(env, monkeypatch)
    assert "over budget" in viewer.to_text(env)
    assert has(viewer.Viewer().draw(env), drawing.ALERT)


def test_pictures_say_what_they_show(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(3, scenario="mixed", budget=0.5, link_change=0.5)
    env.reset(seed=2)
    texts = texts_of(env, monkeypatch)
    assert any("NO WINDOW IS DECIDED YET" in text for text in texts)
    assert {"link speed", "cloud load", "HIDDEN FROM THE AGENT", "month", "attacks", "exit 3"} <= set(texts)
    play(env, 1, 2, 2)
    texts = texts_of(env, monkeypatch)
    snap = take_snapshot(env)
    assert "2 \xb7 [red]least sure[/red] rejected" in texts
    assert "answers from 0.75, rejects below 0.65" in texts
    assert "CHOOSE THRESHOLDS FOR WINDOW 4" in texts
    assert {f"{100 * snap.error:.1f}%", f"{snap.cost:.4f}"} <= set(texts)
    assert any(f"accepted {100 * snap.acceptance[-1]:.1f}%, at least 90.5% by the end" in text for text in texts)
    assert any(f"with an even spend {100 * 9 / 12:.1f}%" in text for text in texts)
    assert {str(count) for count in snap.confusion.reshape(-1)} <= set(texts)
    frame = viewer.Viewer().draw(env)
    assert all(has(frame, colour) for colour in end_colours(3))


def test_strips_and_lines_that_say_nothing_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(budget=np.inf, include_latent=True)
    env.reset(seed=2)
    play(env, 1, 1)
    texts = texts_of(env, monkeypatch)
    assert not {"link speed", "cloud load", "even spend"} & set(texts)
    assert "NO BUDGET: SHARE OF ROWS THAT WENT PAST EXIT 1 SO FAR" in texts
    assert "HIDDEN, BUT SHOWN TO THIS AGENT" in texts
    snap = take_snapshot(env)
    assert f"{100 * snap.totals[R_PASSED] / snap.seen:.1f}% of the rows" in texts
    assert "budget left no limit" in viewer.to_text(env)


def test_every_step_changes_the_picture_and_the_same_episode_gives_the_same_pictures() -> None:
    films = []
    for _ in range(2):
        env = make(render_mode="rgb_array")
        env.reset(seed=2)
        film = [env.render()]
        for step in range(12):
            play(env, step % 4)
            film.append(env.render())
        films.append(film)
    assert all((a != b).any() for a, b in zip(films[0], films[0][1:], strict=False))
    assert all((a == b).all() for a, b in zip(*films, strict=True))


def test_text_holds_the_numbers() -> None:
    env = make(3, scenario="mixed", budget=0.3, link_change=0.5, render_mode="ansi")
    env.reset(seed=5)
    text = env.render()
    assert "window 1 of 12" in text and "budget left 144 rows (100.0%, even spend 100.0%)" in text
    play(env, 1, 0, 2)
    text = env.render()
    snap = take_snapshot(env)
    assert "window 4 of 12" in text
    assert "last action 2 · [red]least sure[/red] rejected" in text  # names are text, not markup
    assert f"error of the answers {100 * snap.error:.1f}%" in text
    assert f"cost of a row {snap.totals[COST] / 3:.4f}" in text
    assert f"budget left {snap.left[-1]:.0f} rows" in text
    tn, fp, _, fn, tp, _ = snap.confusion.reshape(-1)
    assert f"TP {tp}   TN {tn}   FP {fp}   FN {fn}   rejected {snap.totals[R_REJECTED]:.0f}" in text
    for k, count in enumerate(snap.ends[-1][:-1]):
        row = next(line for line in text.splitlines() if f"answered at exit {k + 1}" in line)
        assert f" {count} " in row and f"{100 * count / 40:.1f}%" in row
    assert f"hidden: {snap.month_names[snap.month[-1]]}" in text
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= viewer.TEXT_WIDTH
    assert "\x1b" in viewer.to_text(env, colour=True)


@pytest.mark.parametrize(
    ("accept", "reject", "words"),
    [
        (0.0, 0.0, "answers all"),
        (0.5, 2.0, "answers all"),
        (0.9, 0.0, "answers from 0.9, passes on the rest"),
        (0.9, 0.55, "answers from 0.9, rejects below 0.55"),
        (0.9, 0.95, "answers from 0.9, rejects the rest"),
        (2.0, 0.0, "passes on all"),
        (2.0, 0.7, "rejects below 0.7, answers none"),
        (2.0, 2.0, "rejects all"),
    ],
)
def test_thresholds_in_words(accept: float, reject: float, words: str) -> None:
    assert rule_text(accept, reject, 0.5) == words


def test_small_words() -> None:
    assert [threshold(value) for value in (0.987654, 0.999999, 1.0)] == ["0.9877", "0.999999", "1"]
    assert len({exit_colour(k) for k in range(16)}) == 16


def test_files_are_named_without_folder_and_suffix(tmp_path: Any) -> None:
    path = tmp_path / "spring.csv"
    save_table(table(0, 2), path)
    env = make(tables=[path])
    env.reset(seed=0)
    assert take_snapshot(env).month_names == ("spring",)


def test_window_shows_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    pygame = pytest.importorskip("pygame")
    env = make(render_mode="human")
    env.reset(seed=0)
    play(env, 1)
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    assert (shown == viewer.Viewer().draw(env)).all()
    env.close()
    assert not pygame.display.get_init()
