"""modersmal on Modal: the corpus on a CPU, training on a GPU, the page and the API on the web.

    modal run --detach app.py --stage prepare
    modal run --detach app.py --stage train      # again after anything: it goes on where it was
    modal run --detach app.py --stage release
    modal deploy app.py                          # serves the latest release

What stays lies in a volume: data, corpus, checkpoints, releases. Secrets come by name. README.md
says how to begin. `python -c "import app; app.train.local()"` does the same on your own machine.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import modal

NAME = "<<name>>"  # of the app and of its volume
GPU = "<<gpu>>"
SECRETS = "<<secrets>>".split()  # what the secret `modersmal` holds, by name
PORT = 7860

ON_MODAL = "MODAL_TASK_ID" in os.environ
HERE = Path(__file__).parent
FILES = Path("/files") if ON_MODAL else HERE  # those beside this one
DATA = Path("/data") if ON_MODAL else HERE / "data"  # the volume; elsewhere a folder
STORE = "<<store>>"
if "://" not in STORE:  # a folder of the volume; as a URL, since work is done on the machine's disk
    STORE = f"file://{DATA / STORE}"
RUN = f"{STORE}/runs/<<run>>"
MODEL = "<<model>>"  # a repository on the Hub; empty: the releases in STORE
IN_STORE = ["--set", f"store={json.dumps(STORE)}"]

DAY_S, HOUR_S = 24 * 3600, 3600
GRACE_S = 25  # Modal takes a machine away 30 s after it has said so

# What is installed: torch first, in a layer of its own, because it is large and rarely changes.
image = (
    modal.Image.debian_slim(python_version="3.11")
    .apt_install("gcc", "libc6-dev")  # torch compiles a model's layers with them
    .pip_install("<<torch>>", "<<cublas>>")
    .env({"LD_LIBRARY_PATH": "/usr/local/lib/python3.11/site-packages/nvidia/cublas/lib"})
)
for name in ("<<wheel>>", "requirements.txt", "constraints.txt"):
    image = image.add_local_file(HERE / name, f"/files/{name}", copy=True)
image = image.run_commands("cd /files && pip install --requirement requirements.txt")
for name in ("recipe.toml", "serve.toml"):
    image = image.add_local_file(HERE / name, f"/files/{name}")


def secrets() -> list[modal.Secret]:
    """The secret, if one is needed. Where it is missing, all ends here, before time is spent."""
    if not SECRETS:
        return []
    secret = modal.Secret.from_name("modersmal", required_keys=SECRETS)
    if not ON_MODAL:
        try:
            secret.hydrate()
        except modal.exception.AuthError:
            sys.exit("You are not logged in to Modal; run `modal setup`, and start again.")
        except modal.exception.NotFoundError:
            sys.exit(
                f"Modal knows no secret `modersmal` with {' and '.join(SECRETS)}; make it with "
                f"`modal secret create modersmal {' '.join(f'{name}=…' for name in SECRETS)}`, and "
                "start again."
            )
    return [secret]


app = modal.App(NAME)
volume = modal.Volume.from_name(NAME, create_if_missing=True)
everywhere = {
    "image": image,
    "volumes": {"/data": volume},
    "secrets": secrets(),
    "max_containers": 1,
}
# An attempt that ends before its work does, after 24 hours or before, is followed by the next one.
long = {
    "timeout": DAY_S,
    "retries": modal.Retries(max_retries=10, backoff_coefficient=1.0, initial_delay=1.0),
    "single_use_containers": True,
}


class Unfinished(Exception):
    """Raised at the end of an attempt, so that Modal starts the next one; all is saved."""


def attempt(*words: str) -> int:
    """Run a command of modersmal in the volume.

    Returns 0, or its exit code where a person has to mend something. Raises Unfinished where
    another attempt goes on.
    """
    DATA.mkdir(exist_ok=True)
    shutil.copy(FILES / "recipe.toml", DATA)
    with subprocess.Popen(
        [sys.executable, "-m", "modersmal", *words],
        cwd=DATA,
        env=os.environ | {"HF_HOME": str(DATA / "huggingface")},  # what is downloaded is kept, too
        start_new_session=True,  # so that it hears of an end once, and from us
    ) as process:
        try:
            code = process.wait()
        except BaseException:  # Modal takes the machine away, or you have stopped it
            process.terminate()  # modersmal saves, and ends
            process.wait(GRACE_S)
            raise
    if code in (0, 1, 2):
        return code
    raise Unfinished(f"modersmal ended with {code}; the next attempt goes on where it was")


@app.function(cpu=8, memory=16 * 1024, **everywhere, **long)
def prepare() -> int:
    """The corpus, which needs no GPU."""
    return attempt("run", "recipe.toml", "--until", "prepare", *IN_STORE)


@app.function(gpu=GPU, cpu=4, memory=16 * 1024, **everywhere, **long)
def train() -> int:
    """Train and score. Modal's own limit is known to modersmal, which saves before it."""
    return attempt("run", "recipe.toml", *IN_STORE)


@app.function(gpu=GPU, cpu=4, memory=16 * 1024, **everywhere, **long)
def release() -> int:
    """Make the trained model a release, proven in every runtime, which `web` then serves."""
    return attempt("release", RUN, "--to", STORE)


@app.function(cpu=4, memory=8 * 1024, timeout=HOUR_S, scaledown_window=600, **everywhere)
@modal.concurrent(max_inputs=100)
@modal.web_server(PORT, startup_timeout=600)
def web() -> None:
    """The page and the API, with the latest release. Recordings go when this machine goes."""
    words = ["serve", "--model", MODEL or STORE, "--recipe", str(FILES / "serve.toml")]
    words += ["--host", "0.0.0.0", "--port", str(PORT)]
    if database := os.environ.get("MODERSMAL_DATABASE"):
        words += ["--database", database]
    server = subprocess.Popen([sys.executable, "-m", "modersmal", *words], cwd=Path.home())
    if ON_MODAL:
        threading.Thread(target=stay_up_to_date, args=[server], daemon=True).start()


def stay_up_to_date(server: subprocess.Popen) -> None:
    """A volume shows what others have written when it is told to; the server looks there itself."""
    while server.poll() is None:
        time.sleep(60)
        try:
            volume.reload()
        except RuntimeError:
            continue  # a file is being read just now; in a minute, then
    os._exit(1)  # and Modal starts another machine


@app.local_entrypoint()
def main(stage: str) -> None:
    stages = {"prepare": prepare, "train": train, "release": release}
    if stage not in stages:
        sys.exit(f"there is no stage {stage!r}; there are {', '.join(stages)}")
    sys.exit(stages[stage].remote())
