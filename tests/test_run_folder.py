"""Run folders: unique names, what they hold, and what is refused in one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agents import versions
from agents.run_folder import RunFolder, resume_config
from conf.messages import UserError
from conf.schema import DistPrivacyConfig, DqnConfig, TrainConfig

NOW = time.struct_time((2025, 1, 2, 3, 4, 5, 0, 0, 0))


def _config(root: Path, **values: object) -> TrainConfig:
    return TrainConfig(run_root=str(root), **values)  # type: ignore[arg-type]


def test_a_new_folder_holds_config_and_versions(tmp_path: Path) -> None:
    config = _config(tmp_path / "my runs", seed=7, agent=DqnConfig(learning_rate=1e-5))
    folder = RunFolder.create(config, NOW)
    assert folder.path == tmp_path / "my runs" / "distprivacy-dqn-20250102-030405-s7"
    assert sorted(os.listdir(folder.path)) == ["checkpoints", "config.yaml", "versions.json"]
    again = RunFolder.open(folder.path)
    assert again.config == config and again.path == folder.path
    found = folder.read_json("versions.json")
    assert (found["format"], found["version"]) == ("offramp/run", 1)
    assert found["python"].startswith("3.") and "numpy" in found["packages"] and isinstance(found["command"], list)
    for path in (folder.best_model, folder.metrics, folder.timing, folder.summary):
        assert path.parent == folder.path and not path.exists()
    folder.write_json("summary.json", {"gap": float("nan"), "path": folder.path})
    assert json.loads(folder.summary.read_text()) == {"gap": None, "path": str(folder.path)}


def test_names_are_never_shared(tmp_path: Path) -> None:
    config = _config(tmp_path, env=DistPrivacyConfig(id="my.package:Other World-v3"), agent=DqnConfig(name="a b"))
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: RunFolder.create(config, NOW).path.name, range(12)))
    first = "my.package_other_world-a_b-20250102-030405-s0"
    assert sorted(made) == sorted([first, *(f"{first}-{number}" for number in range(2, 13))])
    named = [RunFolder.create(_config(tmp_path, name="mine")).path.name for _ in range(2)]
    assert named == ["mine", "mine-2"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^run_root is .*file/runs, where no folder can be made"):
        RunFolder.create(_config(tmp_path / "file" / "runs"))


def test_wrong_folders_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = RunFolder.create(_config(tmp_path / "r")).path
    config, stamp = path / "config.yaml", path / "versions.json"
    good, said = config.read_text(), json.loads(stamp.read_text())
    (tmp_path / "empty").mkdir()
    wrong = [
        (tmp_path / "nowhere", config, good, r"run folder .*nowhere does not exist, expected a folder that"),
        (config, config, good, r"config.yaml is a file, expected a folder that"),
        (tmp_path / "empty", config, good, r"run folder .*empty holds no config.yaml"),
        (path, config, "a: [1\n", r"config.yaml: cannot be read as YAML: while parsing"),
        (
            path,
            config,
            "",
            r"config.yaml: env.id is null, expected one of offramp/DistPrivacy-v0, .*offramp/EarlyExit-v0 \(written by",
        ),
        (path, config, good.replace("seed:", "sede:"), r"config.yaml: sede: Key 'sede' .*\(written by offramp"),
        (path, config, good.replace("hidden: 32", "hidden: x"), r"config.yaml: agent.hidden: Value 'x' .*\(written by"),
        (path, config, good.replace("hidden: 32", "hidden: 0"), r"config.yaml: agent.hidden is 0, expected a whole"),
        (path, stamp, json.dumps({**said, "version": 2}), r"versions.json: is offramp/run version 2, expected"),
        (path, stamp, "[]", r"versions.json: is no JSON object"),
        (path, stamp, "{", r"versions.json: cannot be read as JSON"),
    ]
    for opened, changed, text, sentence in wrong:
        config.write_text(good)
        stamp.write_text(json.dumps(said))
        changed.write_text(text)
        with pytest.raises(UserError, match=sentence) as caught:
            RunFolder.open(opened)
        assert "\n" not in str(caught.value)


def test_a_resumed_run_keeps_its_config(tmp_path: Path) -> None:
    stored = _config(tmp_path, seed=3, steps=100, env=DistPrivacyConfig(scenario="lenet-20"))
    path = str(RunFolder.create(stored).path)

    def resumed(typed: dict[str, object], **sections: object) -> TrainConfig:
        config = TrainConfig(resume=path, **sections, **{k: v for k, v in typed.items() if "." not in k and v})  # type: ignore[arg-type]
        return resume_config(config, ["resume", *typed])

    fresh = TrainConfig(seed=9)
    assert resume_config(fresh, ["seed"]) is fresh
    assert resumed({}) == TrainConfig(**{**vars(stored), "resume": path})
    longer = resumed({"steps": 200, "device": "cpu", "seed": 3})
    assert (longer.steps, longer.device, longer.seed, longer.env) == (200, "cpu", 3, stored.env)
    with pytest.raises(UserError, match=r"^seed is 4, but .* has 3 and a resumed run keeps it$"):
        resumed({"seed": 4})
    with pytest.raises(UserError, match=r"^env.scenario is lenet-70, but .* has lenet-20"):
        resumed({"env.scenario": None}, env=DistPrivacyConfig(scenario="lenet-70"))
    with pytest.raises(UserError, match=r"^env.scenario is lenet-random, but"):
        resumed({"env": None})
    with pytest.raises(UserError, match=r"^num_envs is 8, but"):
        resumed({"experiment": None}, num_envs=8)
    same = resumed({"experiment": None, "seed": 3}, env=stored.env)
    assert (same.steps, same.run_root) == (100, str(tmp_path)), "steps of the experiment do not count, typed ones do"
    with pytest.raises(UserError, match="does not exist"):
        resume_config(TrainConfig(resume=str(tmp_path / "no")), [])


def test_git_revision_is_that_of_the_tree_that_tracks_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    tracked, other = tmp_path / "tracked.py", tmp_path / "other.py"
    tracked.write_text("1")
    other.write_text("1")
    assert versions.git_revision(tracked) is None, "no git tree"
    git("init", "-q")
    git("add", "tracked.py")
    git("commit", "-qm", "first")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    found = versions.git_revision(tracked)
    assert found is not None and len(found["revision"]) == 40 and found["dirty"] is False
    assert versions.git_revision(other) is None, "in the tree, but not part of it"
    tracked.write_text("2")
    assert versions.git_revision(tracked) == {**found, "dirty": True}
    monkeypatch.setenv("PATH", "")
    assert versions.git_revision(tracked) is None, "no git"
