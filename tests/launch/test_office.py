"""A server in the house: its files are sound, and each step of its page works.

As far as one machine without systemd can show it: `systemctl` is a stand-in that starts what the
units say; the proxy, the databases, the servers and the scripts are the real ones.
"""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from house import House
from launching import environment, write_recipe

import modersmal
from modersmal.config import load_recipe
from modersmal.errors import RecipeError
from modersmal.launch.launch import Launched

CLIP = Path(__file__).parents[1] / "data" / "speech" / "03.ogg"
SAID = "Klockan är halv nio."
LATER = """

def later(connection: sa.Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE later (id INTEGER)")


STEPS.append(later)
"""
OFFICE = '[launch.office]\nname = "speech.example.se"\n'
Launch = Callable[[str], Launched]


def needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed here")
    return found


def launched_with(folder: Path, text: str) -> Path:
    modersmal.launch("office", write_recipe(folder, text), folder / "files")
    return folder / "files"


# What is written ---------------------------------------------------------------------------------


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    verify = needs("systemd-analyze")
    files = launched_with(tmp_path, f'{OFFICE}folder = "{tmp_path}"\naccount = "root"\n')
    for name in ("modersmal", "python"):
        program = tmp_path / "current" / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.symlink_to("/bin/true")
    units = sorted(str(path) for path in files.glob("modersmal*.*") if path.suffix != ".whl")
    assert len(units) == 3
    done = subprocess.run([verify, "verify", *units], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_scripts_are_sound(launched: Launch) -> None:
    folder = launched("office").folder
    scripts = sorted(path.name for path in folder.glob("*.sh"))
    assert len(scripts) == 6
    for name in scripts:
        subprocess.run(["bash", "-n", name], cwd=folder, check=True)
    check = needs("shellcheck")
    done = subprocess.run(
        [check, "--external-sources", *scripts], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("certificate", "tls"),
    [
        ("", "tls internal"),
        (
            'certificate = "/etc/ssl/a.pem"\ncertificate_key = "/etc/ssl/a.key"\n',
            "tls /etc/ssl/a.pem /etc/ssl/a.key",
        ),
    ],
)
def test_the_proxy_takes_the_houses_certificate_or_makes_its_own(
    certificate: str, tls: str, tmp_path: Path
) -> None:
    files = launched_with(tmp_path, OFFICE + certificate)
    assert tls in (files / "Caddyfile").read_text()
    assert ("root certificate" in (files / "README.md").read_text()) == (not certificate)
    caddy = needs("caddy")
    done = subprocess.run(
        [caddy, "adapt", "--validate" if not certificate else "--pretty", "--adapter",
         "caddyfile", "--config", str(files / "Caddyfile")],
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path)}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


def test_its_settings_are_those_of_the_recipe_with_folders_of_its_own(launched: Launch) -> None:
    path = launched("office").folder / "recipe.toml"
    assert set(tomllib.loads(path.read_text(encoding="utf-8"))) == {"language", "serve"}
    loaded = load_recipe(path).serve
    assert loaded.names == ["Åsa Östlund", "Ängelholm"]
    assert loaded.folder == "/srv/modersmal/modersmal-serve"
    assert loaded.database == "postgresql://modersmal@db.internal/modersmal"
    assert "postgresql-client" in (launched("office").folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("recipe", "model"),
    [
        ("", "/srv/modersmal/modersmal-store"),
        ('store = "kept/store"\n', "/srv/modersmal/kept/store"),
        ('store = "/mnt/store"\n', "/mnt/store"),
        ('store = "s3://bucket/sv"\n', "s3://bucket/sv"),
    ],
)
def test_it_serves_the_recipes_store_as_that_machine_calls_it(
    recipe: str, model: str, tmp_path: Path
) -> None:
    files = launched_with(tmp_path, recipe + OFFICE)
    assert f"--model {model} " in (files / "modersmal.service").read_text()
    assert ("s3" in (files / "requirements.txt").read_text()) == model.startswith("s3")


def test_a_model_of_its_own_goes_before_the_store(tmp_path: Path) -> None:
    files = launched_with(tmp_path, f'{OFFICE}model = "anna/whisper-small-sv"\n')
    assert "--model anna/whisper-small-sv " in (files / "modersmal.service").read_text()


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("", r"set launch\.office\.name to what people will type"),
        ('store = "my store"\n' + OFFICE, r"store is '/srv/modersmal/my store' on the server"),
        ('[serve]\nfolder = "it\'s"\n' + OFFICE, r"serve\.folder is "),
        (OFFICE + 'certificate = "/a.pem"\n', "certificate and certificate_key go together"),
        (OFFICE + 'folder = "/srv/$(reboot)"\n', r"launch\.office\.folder"),
        ('[launch.office]\nname = "a b"\n', r"launch\.office\.name"),
        (OFFICE + 'account = "root; reboot"\n', r"launch\.office\.account"),
        (OFFICE + 'model = "%h"\n', r"launch\.office\.model"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(
    recipe: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=says):
        launched_with(tmp_path, recipe)
    assert not (tmp_path / "files").exists()


# The proxy ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxied(
    tmp_path_factory: pytest.TempPathFactory, cache: Path
) -> Iterator[tuple[httpx.Client, Path]]:
    """A browser's view of a server behind the proxy, and the server's folder."""
    tmp_path = tmp_path_factory.mktemp("proxied")
    caddy = needs("caddy")
    port, http_port, https_port = free_ports(3)
    files = launched_with(tmp_path, f'[launch.office]\nname = "localhost"\nport = {port}\n')
    config = tmp_path / "Caddyfile"
    ports = f"{{\n\thttp_port {http_port}\n\thttps_port {https_port}\n\tadmin off\n"
    config.write_text((files / "Caddyfile").read_text().replace("{\n", ports, 1))
    server = subprocess.Popen(
        [sys.executable, "-m", "modersmal", "serve", "--model", "bundled", "--port", str(port)],
        cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    proxy = subprocess.Popen(
        [caddy, "run", "--adapter", "caddyfile", "--config", str(config)],
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        root = tmp_path / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        until(root.is_file)
        until(lambda: answers(f"http://127.0.0.1:{port}/ready"))
        trusted = ssl.create_default_context(cafile=root)
        with httpx.Client(
            base_url=f"https://localhost:{https_port}", verify=trusted, timeout=60
        ) as client:
            until(lambda: answers("/ready", client))
            yield client, tmp_path
    finally:
        for process in (proxy, server):
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@pytest.mark.chaos
def test_events_come_through_the_proxy_while_the_answer_goes_on(
    proxied: tuple[httpx.Client, Path],
) -> None:
    """A page's events last for as long as its job is looked at; the first is there at once."""
    client, _ = proxied
    origin = {"Origin": str(client.base_url).rstrip("/")}
    made = client.post("/jobs", files={"file": ("a.ogg", CLIP.read_bytes())}, headers=origin).json()
    with client.stream("GET", f"/jobs/{made['token']}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        assert next(events.iter_lines())


@pytest.mark.chaos
def test_behind_the_proxy_all_is_as_without(proxied: tuple[httpx.Client, Path]) -> None:
    client, folder = proxied
    page = client.get("/")
    assert page.status_code == 200
    assert "microphone=(self)" in page.headers["permissions-policy"]

    origin = {"Origin": str(client.base_url).rstrip("/")}
    answer = client.post(
        "/v1/audio/transcriptions", files={"file": CLIP.read_bytes()}, headers=origin
    )
    assert answer.json()["text"] == SAID
    other = client.post("/v1/audio/transcriptions", headers={"Origin": "https://else.where"})
    assert other.status_code == 403

    # What is longer than any buffer goes through.
    recording = silence(90 << 20)
    made = client.post("/jobs", files={"file": ("long.wav", recording)}, headers=origin)
    assert made.status_code < 300, made.text

    events = client.stream(
        "POST", "/v1/audio/transcriptions", files={"file": CLIP.read_bytes()},
        data={"stream": "true"}, headers=origin,
    )  # fmt: skip
    with events as streamed:
        lines = [line for line in streamed.iter_lines() if line.startswith("data:")]
    assert lines[-1] == "data: [DONE]"

    # The cookie of who logs in is for https alone: the server knows by what the proxy tells it.
    kept = f"sqlite:///{folder}/modersmal-serve/modersmal.db"
    key = modersmal.keys("add", "anna", database=kept)
    until(lambda: client.get("/v1/models").status_code == 401)
    logged_in = client.post("/login", data={"key": str(key).split()[0]}, headers=origin)
    assert logged_in.status_code == 303, logged_in.text
    assert "Secure" in logged_in.headers["set-cookie"]
    assert client.get("/v1/models").status_code == 200


# Installing, upgrading, going back, backups ------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgres"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    address = None
    if request.param == "postgres":
        address = request.getfixturevalue("postgres_server").new_database()
    made = House(tmp_path / "house", free_ports(1)[0], address)
    made.build()
    yield made
    made.run(made.root / "bin" / "systemctl", "stop", "modersmal")


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_a_house_installs_backs_up_upgrades_and_goes_back(house: House) -> None:
    house.launch()
    installed = house.install()
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert house.version() == modersmal.__version__
    calls = (house.units / "calls").read_text()
    assert "enable modersmal" in calls
    assert "enable --now modersmal-backup.timer" in calls
    assert "runs already" in house.install().stdout

    anna = house.script("keys.sh", "add", "anna").split()[0]
    until(lambda: house.get("/v1/models").status_code == 401)
    assert house.get("/v1/models", anna).status_code == 200

    # A backup while it runs, and back.
    backup = house.script("backup.sh").strip()
    assert Path(backup).parent == house.backups
    Path(backup).rename(house.backups / "20200101T000000Z")  # so that names differ in any second
    backup = str(house.backups / "20200101T000000Z")
    by_timer = house.run(house.root / "bin" / "systemctl", "start", "modersmal-backup")
    assert by_timer.returncode == 0, by_timer.stderr
    assert len([one for one in house.backups.iterdir() if one.is_dir()]) == 2
    house.script("keys.sh", "add", "bo")
    assert "with " + backup in house.script("restore.sh", backup)
    assert names(house) == {"anna"}
    assert house.version(anna) == modersmal.__version__

    # An upgrade that does not come up.
    house.launch(house.newer("0.3.0", "serve/app.py", "\nraise SystemExit(1)\n"))
    broken = house.install()
    assert broken.returncode == 1
    assert "does not come up" in broken.stderr
    assert house.version(anna) == modersmal.__version__
    assert names(house) == {"anna"}

    # An upgrade that changes the tables, and back.
    house.launch(house.newer("0.2.0", "database/migrations.py", LATER))
    upgraded = house.install()
    assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
    assert house.version(anna) == "0.2.0"
    house.script("keys.sh", "add", "cecilia")
    assert names(house) == {"anna", "cecilia"}
    said = house.script("rollback.sh")
    assert "are those from before the upgrade" in said
    assert house.version(anna) == modersmal.__version__
    assert names(house) == {"anna"}
    aside = re.search(r"Backed up: (\S+)", said)
    assert aside is not None
    assert Path(aside[1]).is_dir()  # with cecilia in it


def names(house: House) -> set[str]:
    return {line.split()[0] for line in house.script("keys.sh", "list").splitlines() if line}


def silence(size: int) -> bytes:
    """A WAV of so many bytes: 16 kHz, mono, 16 bits."""
    head = b"RIFF" + (36 + size).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    head += bytes.fromhex("0100 0100 803e0000 007d0000 0200 1000") + b"data"
    return head + size.to_bytes(4, "little") + bytes(size)


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def answers(address: str, client: httpx.Client | None = None) -> bool:
    try:
        return (client or httpx).get(address).status_code == 200
    except httpx.TransportError:
        return False


def until(true: Callable[[], bool]) -> None:
    for _ in range(300):
        if true():
            return
        time.sleep(0.2)
    raise AssertionError("it did not come")
