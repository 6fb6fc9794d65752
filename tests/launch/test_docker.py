"""Docker: images and compose files as Docker's parsers and linters have them, and their steps."""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import yaml
from compose_spec import PyCompose
from containers import built, instructions, interpolated, services
from launching import RECIPE, write_recipe

import modersmal
from modersmal.errors import RecipeError
from modersmal.launch.launch import Launched
from postgres_server import programs

IMAGES = ("cpu.Dockerfile", "cuda.Dockerfile")
ENV = {"POSTGRES_PASSWORD": "sesam", "HF_TOKEN": "a-token"}
Launch = Callable[[str], Launched]


@pytest.mark.parametrize("name", IMAGES)
def test_the_linter_finds_nothing(name: str, launched: Launch) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run(
        [hadolint, "--no-color", launched("docker").folder / name],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_runs_as_nobody_keeps_no_downloads_and_tells_its_health(
    name: str, launched: Launch
) -> None:
    path = launched("docker").folder / name
    assert [one.value for one in instructions(path, "USER")] == [("1000:1000",)]
    (base,) = instructions(path, "FROM")
    assert base.value[0] == "python:3.11-slim-bookworm"
    (health,) = instructions(path, "HEALTHCHECK")
    assert "/health" in health.original
    steps = [one.value[0] for one in instructions(path, "RUN")]
    pips = [step for step in steps if "pip install" in step]
    assert all("--no-cache-dir" in step for step in pips)
    assert all("rm -rf /var/lib/apt/lists" in step for step in steps if "apt-get" in step)
    assert pips[0].startswith("pip install --no-cache-dir torch==")  # its own layer, and first
    assert not instructions(path, "COPY")
    assert not instructions(path, "ADD")
    names = {one.value[0].partition("=")[0] for one in instructions(path, "ARG")}
    assert names <= {"PIP_EXTRA_INDEX_URL"}


def test_nothing_but_what_is_installed_is_sent_to_be_built(launched: Launch) -> None:
    lines = (launched("docker").folder / ".dockerignore").read_text().split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules == ["*", "!*.whl", "!requirements.txt", "!constraints.txt"]


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cuda.yaml"])
def test_compose_files_are_such(name: str, launched: Launch) -> None:
    text = interpolated((launched("docker").folder / name).read_text(), ENV)
    plain = yaml.safe_dump(yaml.safe_load(text))  # with its anchors followed
    PyCompose.from_yaml(plain)
    with pytest.raises(ValueError, match="imagine"):
        PyCompose.from_yaml(plain.replace("image", "imagine"))


def test_only_this_machine_reaches_the_server_and_nobody_the_database(launched: Launch) -> None:
    found = services(launched("docker").folder, ENV)
    assert found["server"]["ports"] == ["127.0.0.1:7860:7860"]
    assert "ports" not in found["database"]
    assert found["server"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert found["database"]["healthcheck"]["test"][1] == "pg_isready"
    assert found["database"]["image"] == "postgres:17-bookworm"
    for name in ("server", "train"):
        assert found[name]["user"] == "1000:1000"
        assert found[name]["cap_drop"] == ["ALL"]
        assert found[name]["volumes"] == ["./data:/data"]


def test_secrets_come_by_name_and_one_that_is_missing_is_named(launched: Launch) -> None:
    folder = launched("docker").folder
    found = services(folder, ENV)
    assert found["server"]["environment"] == {"HF_TOKEN": "a-token", "PGPASSWORD": "sesam"}
    assert found["train"]["environment"] == {"HF_TOKEN": "a-token"}
    assert found["database"]["environment"]["POSTGRES_PASSWORD"] == "sesam"
    for name, sentence in (
        ("HF_TOKEN", "HF_TOKEN is needed by the recipe; write it into .env"),
        ("POSTGRES_PASSWORD", "POSTGRES_PASSWORD is needed; README.md says how to make one"),
    ):
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            services(folder, {key: value for key, value in ENV.items() if key != name})


def test_with_a_gpu_both_have_it(launched: Launch) -> None:
    text = (launched("docker").folder / "compose.cuda.yaml").read_text()
    changed = yaml.safe_load(text)["services"]
    for name in ("server", "train"):
        assert changed[name]["build"] == {"dockerfile": "cuda.Dockerfile"}
        (device,) = changed[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_what_is_served_is_the_store_or_what_the_recipe_says(tmp_path: Path) -> None:
    for number, (recipe, model) in enumerate([
        ("", "modersmal-store"),
        ('store = "mine"', "mine"),
        ('store = "s3://bucket/$5"', "s3://bucket/$5"),
        ('[launch.docker]\nmodel = "anna/svenska"', "anna/svenska"),
    ]):  # fmt: skip
        to = tmp_path / str(number)
        modersmal.launch("docker", write_recipe(tmp_path, recipe), to)
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        command = services(to, ENV | keys)["server"]["command"]
        assert command[:3] == ["serve", "--model", model]
        assert (to / "data" / "recipe.toml").read_text() == recipe
        assert ("s3" in (to / "requirements.txt").read_text()) == model.startswith("s3")


@pytest.mark.parametrize(
    "store", ["/home/anna/store", "~/store", "../store", "file:///home/anna/store"]
)
def test_a_store_that_a_container_cannot_reach_is_refused(store: str, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, f'store = "{store}"')
    with pytest.raises(RecipeError, match=r"is on this machine, which a container cannot reach"):
        modersmal.launch("docker", recipe, tmp_path / "to")
    assert not (tmp_path / "to").exists()


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_an_image_installs_and_serves_as_compose_starts_it(tmp_path: Path) -> None:
    """As somebody whom the image does not know, in a folder of theirs, with Postgres."""
    if not shutil.which("chroot") or programs() is None:
        pytest.skip("needs root, overlays and Postgres")
    files = tmp_path / "files"
    recipe = RECIPE.replace('store = "hf://anna/store"', "")
    recipe += '[launch.docker]\nmodel = "bundled"\n'
    modersmal.launch("docker", write_recipe(tmp_path, recipe), files)
    server, database = (services(files, ENV)[name] for name in ("server", "database"))
    with (
        running(database["environment"]) as port,
        built(files / "cpu.Dockerfile", tmp_path / "image") as image,
    ):
        assert image.run(["modersmal", "--version"], "12345:12345", "/").stdout
        shutil.copy(files / "data" / "recipe.toml", image.root / "data")
        shutil.chown(image.root / "data", 12345, 12345)
        with (image.root / "etc" / "hosts").open("a") as hosts:
            hosts.write("127.0.0.1 database\n")
        env = {**image.env, **server["environment"], "PGPORT": str(port)}
        own = free_port()
        (health,) = instructions(files / "cpu.Dockerfile", "HEALTHCHECK")
        check = [word.replace("7860", str(own)) for word in health.value[1:]]
        process = subprocess.Popen(
            ["chroot", "--userspec=12345:12345", "--groups=", image.root,
             "sh", "-c", 'cd /data && exec modersmal "$@"', "sh",
             *server["command"], "--port", str(own)],
            env=env, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            for _ in range(120):
                assert process.poll() is None, process.communicate()
                try:
                    image.run(check, "12345:12345", "/data")
                    break
                except subprocess.CalledProcessError:
                    time.sleep(1)
            else:
                raise AssertionError("it is not healthy")
            said = image.run(
                ["env", f"PGPORT={port}", "PGPASSWORD=sesam", "modersmal", "keys", "list",
                 "--database", server["command"][-1]],
                "12345:12345", "/data",
            )  # fmt: skip
            assert "no keys" in said.stdout.lower()
        finally:
            process.terminate()
            process.communicate(timeout=60)
        with pytest.raises(subprocess.CalledProcessError):
            image.run(check, "12345:12345", "/data")
        assert (image.root / "data" / "modersmal-serve").stat().st_uid == 12345


@contextmanager
def running(env: dict[str, str]) -> Iterator[int]:
    """A Postgres with the user and the password of a service's environment; its port."""
    bin_folder = programs()
    assert bin_folder is not None
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    data, password = folder / "data", folder / "password"
    password.write_text(env["POSTGRES_PASSWORD"])
    for path in (folder, password):
        shutil.chown(path, "postgres", "postgres")
    port = free_port()
    try:
        subprocess.run(
            [bin_folder / "initdb", "-D", data, "-U", env["POSTGRES_USER"], "-A", "scram-sha-256",
             "--pwfile", password, "--no-sync"],
            user="postgres", cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        server = subprocess.Popen(
            [bin_folder / "postgres", "-D", data, "-k", folder, "-p", str(port)],
            user="postgres", cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            ready = [bin_folder / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"]
            while subprocess.run(ready).returncode:
                assert server.poll() is None
                time.sleep(0.2)
            address = f"host=127.0.0.1 port={port} user={env['POSTGRES_USER']} dbname=postgres"
            address += f" password={env['POSTGRES_PASSWORD']}"
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {env['POSTGRES_USER']}")
            yield port
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
