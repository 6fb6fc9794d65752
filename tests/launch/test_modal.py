"""Modal: the app, as the real `modal` deploys it to a stand-in for its server, and its stages as
`.local()` runs them, with attempts that are killed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

import httpx
import pytest
from launching import environment, write_recipe
from modal_server import Modal, modal_server

import modersmal
from modersmal.config import load_recipe
from modersmal.errors import RecipeError
from modersmal.launch.launch import Launched

SECRETS = ("HF_TOKEN", "MODERSMAL_DATABASE")  # of a store on the Hub, and of serve.database
HOUR_S = 3600
DEMO = """
language = "sv"
model = "bundled"
name = "weather"

[data]
sources = ["cv-corpus-demo-sv.tar.gz"]

[train]
max_steps = 24
batch_s = 30
learning_rate = 6e-4
warmup_steps = 4
save_every = 4
evaluate_every = 0
dev_clips = 8

[release]
formats = ["hf", "ct2"]
"""
CLIP = Path(__file__).parents[1] / "data" / "speech" / "03.ogg"
Launch = Callable[[str], Launched]


def run(
    folder: Path, *words: str, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run Python in the folder with app.py."""
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=1500,
        env=environment(folder.parent) | {"PYTHONDONTWRITEBYTECODE": "1"} | dict(env or {}),
    )  # fmt: skip


@pytest.fixture(scope="module")
def deployed(launched: Launch) -> Modal:
    """What Modal was given by `modal deploy app.py`."""
    with modal_server(keys=SECRETS) as modal:
        done = run(launched("modal").folder, "-m", "modal", "deploy", "app.py", env=modal.env)
    assert done.returncode == 0, done.stderr
    return modal


def test_modal_takes_it_as_it_is(deployed: Modal) -> None:
    assert set(deployed.functions) == {"prepare", "train", "release", "web"}
    gpus = {name: one.resources.gpu_config.gpu_type for name, one in deployed.functions.items()}
    assert gpus == {"prepare": "", "train": "L4", "release": "L4", "web": ""}
    for one in deployed.functions.values():
        (mount,) = one.volume_mounts
        assert (mount.mount_path, mount.allow_background_commits) == ("/data", True)
        assert list(one.secret_ids) == ["st-1"]
        assert one.autoscaler_settings.max_containers == 1


def test_stages_have_a_day_and_go_on_in_another_attempt(deployed: Modal) -> None:
    for name in ("prepare", "train", "release"):
        function = deployed.functions[name]
        assert function.timeout_secs == 24 * HOUR_S
        assert function.retry_policy.retries == 10
        assert function.single_use_containers


def test_the_endpoint_is_the_servers_port(deployed: Modal) -> None:
    web = deployed.functions["web"]
    assert web.webhook_config.web_server_port == 7860
    assert web.max_concurrent_inputs == 100


def test_torch_is_installed_first_and_then_what_was_launched(deployed: Modal) -> None:
    pips = [command for command in deployed.commands if " install " in command][-2:]
    assert "torch==" in pips[0]
    assert pips[1] == "RUN cd /files && pip install --requirement requirements.txt"
    assert deployed.commands.index(pips[0]) < deployed.commands.index("COPY . /")


@pytest.mark.parametrize(("secret", "keys"), [("another", SECRETS), ("modersmal", ("HF_TOKEN",))])
def test_a_missing_secret_is_a_sentence_before_anything_starts(
    secret: str, keys: tuple[str, ...], launched: Launch
) -> None:
    with modal_server(secret, keys) as modal:
        done = run(
            launched("modal").folder, "-m", "modal", "run", "app.py", "--stage", "train",
            env=modal.env,
        )  # fmt: skip
    assert done.returncode == 1
    assert (
        done.stderr.split()
        == (
            "Modal knows no secret `modersmal` with HF_TOKEN and MODERSMAL_DATABASE; make it with "
            "`modal secret create modersmal HF_TOKEN=… MODERSMAL_DATABASE=…`, and start again."
        ).split()
    )
    assert not modal.functions


def test_who_is_not_logged_in_is_told_how(launched: Launch, tmp_path: Path) -> None:
    env = {"MODAL_CONFIG_PATH": str(tmp_path / "none.toml")}
    done = run(launched("modal").folder, "-c", "import app", env=env)
    assert done.returncode == 1
    assert done.stderr == "You are not logged in to Modal; run `modal setup`, and start again.\n"


def test_an_unknown_stage_is_told_what_there_is(local: Path) -> None:
    done = run(local, "-c", "import app; app.main.info.raw_f('trian')")
    assert done.returncode == 1
    assert done.stderr == "there is no stage 'trian'; there are prepare, train, release\n"


def test_the_server_gets_its_settings_and_nothing_else(launched: Launch) -> None:
    path = launched("modal").folder / "serve.toml"
    assert set(tomllib.loads(path.read_text(encoding="utf-8"))) == {"language", "serve"}
    loaded = load_recipe(path).serve
    assert loaded.names == ["Åsa Östlund", "Ängelholm"]
    assert loaded.database is None
    assert loaded.proxies == ["*"]


def test_its_names_are_ones_that_modal_takes(tmp_path: Path) -> None:
    modersmal.launch("modal", write_recipe(tmp_path, 'name = "västgötska"\n'), tmp_path / "to")
    assert 'NAME = "modersmal-v-stg-tska"' in (tmp_path / "to" / "app.py").read_text()


@pytest.mark.parametrize(
    ("store", "sentence"),
    [
        ("/home/anna/store", "is on this machine, which Modal cannot reach"),
        ("../store", "is on this machine, which Modal cannot reach"),
        ("gs://bucket/store", "takes a login of Google's, which Modal lacks"),
    ],
)
def test_a_store_that_modal_cannot_reach_is_refused(
    store: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        modersmal.launch("modal", write_recipe(tmp_path, f'store = "{store}"'), tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_the_next_step_makes_the_secret_and_the_volume(launched: Launch) -> None:
    said = launched("modal").next_step
    assert "modal secret create modersmal HF_TOKEN=… MODERSMAL_DATABASE=…" in said
    assert "modal volume create modersmal-run" in said
    assert "modal run --detach app.py --stage prepare" in said


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """The app for the demo's corpus, with a store in its volume, so that no secret is needed."""
    modersmal.launch("modal", write_recipe(tmp_path, DEMO), tmp_path / "files")
    data = tmp_path / "files" / "data"
    data.mkdir()
    name = "cv-corpus-demo-sv.tar.gz"
    asset = resources.files("modersmal") / "assets" / "demo" / name
    (data / name).write_bytes(asset.read_bytes())
    return tmp_path / "files"


def test_what_a_person_must_mend_is_not_tried_again(local: Path) -> None:
    for path in (local / "data").iterdir():
        path.unlink()
    done = run(local, "-c", "import app; print('code', app.prepare.local())")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "code 1"
    assert "cv-corpus-demo-sv.tar.gz" in done.stderr


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_attempts_that_are_preempted_or_killed_go_on_to_the_same_weights(
    local: Path, tmp_path: Path
) -> None:
    """Each attempt has a machine of its own: nothing but the volume stays."""
    prepared = run(local, "-c", "import app; raise SystemExit(app.prepare.local())")
    assert prepared.returncode == 0, prepared.stderr
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(local, undisturbed)
    done = run(undisturbed, "-c", "import app; raise SystemExit(app.train.local())")
    assert done.returncode == 0, done.stderr

    preempted = Attempt(local, tmp_path / "machine-1")
    preempted.until_step(4)
    os.kill(preempted.process.pid, signal.SIGINT)  # as Modal does; it gives half a minute
    assert "KeyboardInterrupt" in preempted.end()
    steps = steps_of(local)
    assert steps
    assert max(steps) >= 4

    killed = Attempt(local, tmp_path / "machine-2")
    killed.until_step(max(steps) + 4)
    killed.kill()
    assert "goes on" in killed.end() or steps_of(local)

    last = Attempt(local, tmp_path / "machine-3")
    said = last.end()
    assert last.process.returncode == 0, said
    assert weights(local) == weights(undisturbed)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_release_is_served(local: Path) -> None:
    shortened = DEMO.replace("max_steps = 24", "max_steps = 8")
    shortened += "golden_clips = 8\ninterpolate = []\naverage_last = 0\n"
    (local / "recipe.toml").write_text(shortened)
    stages = "import app; raise SystemExit(app.prepare.local() or app.train.local()"
    done = run(local, "-c", f"{stages} or app.release.local())")
    assert done.returncode == 0, done.stderr
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    code = f"import app; app.PORT = {port}; app.web.local(); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=local, stdin=subprocess.PIPE, start_new_session=True,
        env=environment(local.parent),
    )  # fmt: skip
    try:
        answer = ask(f"http://127.0.0.1:{port}")
        assert answer.headers["x-model-release"] == "release-1"
        assert "modersmal" in httpx.get(f"http://127.0.0.1:{port}", timeout=60).text
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)


class Attempt:
    """`train` on a machine of its own, which is empty but for the volume."""

    def __init__(self, folder: Path, home: Path) -> None:
        home.mkdir()
        self.folder = folder
        env = environment(home) | {"XDG_CACHE_HOME": str(home / "cache")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", "import app; raise SystemExit(app.train.local())"],
            cwd=folder, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def until_step(self, step: int) -> None:
        """Wait for a checkpoint of that step or a later one, in the volume."""
        while max(steps_of(self.folder), default=0) < step:
            assert self.process.poll() is None, self.end()
            time.sleep(0.05)

    def kill(self) -> None:
        """As a machine ends: all at once, and nobody is told."""
        for pid in (*descendants(self.process.pid), self.process.pid):
            os.kill(pid, signal.SIGKILL)

    def end(self) -> str:
        return self.process.communicate(timeout=600)[1]


def steps_of(folder: Path) -> list[int]:
    """Of checkpoints that are whole in the volume."""
    found = folder.glob("data/modersmal-store/runs/weather/checkpoints/*/manifest.json")
    return [int(path.parent.name.split("-")[1].split(".")[0]) for path in found]


def weights(folder: Path) -> bytes:
    (model,) = folder.glob("data/modersmal-store/runs/weather/model/*.safetensors")
    return model.read_bytes()


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [one for child in children for one in (*descendants(int(child)), int(child))]


def ask(address: str) -> httpx.Response:
    for _ in range(240):
        try:
            return httpx.post(
                f"{address}/v1/audio/transcriptions", files={"file": CLIP.read_bytes()}, timeout=60
            )
        except httpx.ConnectError:
            time.sleep(0.5)
    raise AssertionError("nobody answers")
