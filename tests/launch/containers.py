"""What stands in a Dockerfile and in a compose file, read as Docker reads them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dockerfile
import yaml

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::([-?])([^}]*))?\})")


def instructions(path: Path, kind: str) -> list[dockerfile.Command]:
    """Its instructions of one kind, as Docker's own parser has them."""
    return [one for one in dockerfile.parse_file(str(path)) if one.cmd.upper() == kind]


def interpolated(text: str, env: Mapping[str, str]) -> str:
    """A compose file with the variables of .env put in. Raises ValueError with what it says of one
    that is missing."""

    def value(found: re.Match[str]) -> str:
        dollar, name, kind, rest = found.groups()
        if dollar:
            return "$"
        if env.get(name):
            return env[name]
        if kind == "?":
            raise ValueError(f"{name} {rest}")
        return rest or ""

    return _VARIABLE.sub(value, text)


def services(folder: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """The services of compose.yaml as they are started."""
    text = interpolated((folder / "compose.yaml").read_text(encoding="utf-8"), env)
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


@dataclass(frozen=True)
class Image:
    """A root that looks like this machine's, with what an image's steps wrote."""

    root: Path
    env: Mapping[str, str]

    def run(self, command: list[str], user: str, cwd: str) -> "subprocess.CompletedProcess[str]":
        """Run something in it, as nobody but `user` (UID:GID)."""
        uid, gid = user.split(":")
        return subprocess.run(
            ["chroot", f"--userspec={uid}:{gid}", "--groups=", self.root,
             "sh", "-c", 'cd "$0" && exec "$@"', cwd, *command],
            env=dict(self.env), check=True, capture_output=True, text=True, timeout=1500,
        )  # fmt: skip


@contextmanager
def built(path: Path, folder: Path, skip: str = "apt-get") -> Iterator[Image]:
    """An image's file carried out step by step, over this machine in place of its base.

    Below `folder`, which must be on a disk that overlays may lie on. Steps with the word `skip` are
    left out. What is installed goes into a fresh environment, in place of /usr/local.
    """
    root, upper, work = folder / "root", folder / "upper", folder / "work"
    for made in (root, upper, work):
        made.mkdir(parents=True)
    layers = f"lowerdir=/,upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, root], check=True)
    try:
        subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
        subprocess.run(["mount", "--bind", "/dev", root / "dev"], check=True)
        env = {**os.environ, "PATH": f"/image/bin:{os.environ['PATH']}", "HOME": "/root"}
        env.pop("PYTHONPATH", None)
        image, cwd = Image(root, env), "/"
        _forget_people(root / "etc" / "passwd")
        python = f"{sys.base_prefix}/bin/python3"
        image.run([python, "-m", "venv", "/image"], "0:0", cwd)
        for parent in Path(python).parents:  # an image's Python is for everybody
            (root / str(parent).lstrip("/")).chmod(0o755)
        for step in dockerfile.parse_file(str(path)):
            if step.cmd.upper() == "WORKDIR":
                cwd = step.value[0]
                (root / cwd.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif step.cmd.upper() == "ENV":
                env |= dict(zip(step.value[::2], step.value[1::2], strict=True))
            elif step.cmd.upper() == "RUN" and skip not in step.value[0]:
                with _context(step, path.parent, root):
                    image.run(["sh", "-c", step.value[0]], "0:0", cwd)
        yield image
    finally:
        subprocess.run(["umount", "--recursive", root], check=True)
        shutil.rmtree(folder)


def _forget_people(accounts: Path) -> None:
    """Leave nobody in that a base image does not know."""
    lines = accounts.read_text().splitlines(keepends=True)
    accounts.write_text("".join(line for line in lines if line.split(":")[2] != "1000"))


@contextmanager
def _context(step: dockerfile.Command, context: Path, root: Path) -> Iterator[None]:
    """The files beside the image's file, where a step looks at them."""
    targets = [found[1] for flag in step.flags if (found := re.search(r"target=([^,]+)", flag))]
    for target in targets:
        subprocess.run(["mount", "--bind", context, root / target.lstrip("/")], check=True)
    try:
        yield
    finally:
        for target in targets:
            subprocess.run(["umount", root / target.lstrip("/")], check=True)
