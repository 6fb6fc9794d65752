"""A server machine in a folder: its units, what it can install from, and newer versions of us."""

import os
import re
import shutil
import site
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx

import modersmal

STAND_IN = Path(__file__).parent / "systemd_stand_in.py"


@dataclass(frozen=True)
class House:
    """All below `root`. The packages that modersmal needs come from the tests' own environment."""

    root: Path
    port: int
    database: str | None

    @property
    def folder(self) -> Path:
        return self.root / "srv"

    @property
    def files(self) -> Path:
        """Where the files are launched to."""
        return self.root / "files"

    @property
    def units(self) -> Path:
        return self.root / "units"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    def build(self) -> None:
        for folder in (self.units, self.root / "bin", self.root / "packages"):
            folder.mkdir(parents=True)
        program = self.root / "bin" / "systemctl"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
        program.chmod(0o755)
        for entry in Path(site.getsitepackages()[0]).iterdir():
            if not re.match(r"_?(editable_impl_)?modersmal|pip\b|setuptools", entry.name):
                (self.root / "packages" / entry.name).symlink_to(entry)
        database = f'database = "{self.database}"' if self.database else ""
        (self.root / "recipe.toml").write_text(
            f'[serve]\nfolder = "kept"\n{database}\n'
            f'[launch.office]\nname = "localhost"\nmodel = "bundled"\nfolder = "{self.folder}"\n'
            f'account = "{_me()}"\nport = {self.port}\nbackups = "{self.backups}"\n'
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.root),
            "UNITS": str(self.units),
            "PYTHON": sys.executable,
            "PYTHONPATH": str(self.root / "packages"),
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
            "OMP_NUM_THREADS": "1",
        }

    def run(self, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), *arguments],
            env=self.environment, capture_output=True, text=True, timeout=1000,
        )  # fmt: skip

    def script(self, name: str, *arguments: str) -> str:
        """What one of the installed scripts says."""
        done = self.run(self.folder / "current" / name, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self) -> subprocess.CompletedProcess[str]:
        return self.run(self.files / "install.sh")

    def launch(self, package: Path | None = None) -> None:
        """Launch with this modersmal, or with another that lies in `package`."""
        source = package or Path(modersmal.__file__).parents[1]
        subprocess.run(
            [sys.executable, "-m", "modersmal", "launch", "office",
             str(self.root / "recipe.toml"), "--to", str(self.files)],
            env={**os.environ, "PYTHONPATH": str(source)}, check=True, capture_output=True,
            timeout=120,
        )  # fmt: skip

    def newer(self, version: str, file: str, more: str) -> Path:
        """A newer modersmal: one of its files goes on with `more`."""
        folder = self.root / f"modersmal-{version}"
        package = folder / "modersmal"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(modersmal.__file__).parent, package, ignore=ignored)
        own = package / "__init__.py"
        own.write_text(own.read_text().replace(f'"{modersmal.__version__}"', f'"{version}"', 1))
        with (package / file).open("a") as opened:
            opened.write(more)
        about = folder / f"modersmal-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: modersmal\nVersion: {version}\n"
            "Provides-Extra: serve\nProvides-Extra: postgres\n"
        )
        (about / "entry_points.txt").write_text(
            "[console_scripts]\nmodersmal = modersmal.cli:main\n"
        )
        return folder

    def version(self, key: str = "") -> str:
        """The version that answers now."""
        assert self.get("/ready").status_code == 200
        return str(self.get("/openapi.json", key).json()["info"]["version"])

    def get(self, path: str, key: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=60)


def _me() -> str:
    return "root" if os.geteuid() == 0 else os.environ["USER"]
