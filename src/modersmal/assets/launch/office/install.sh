#!/usr/bin/env bash
# Install this version beside the ones that are there, and let the server run it. As root; the first time and for
# every upgrade. Where the new version does not come up, the one before goes on, with the database as it was.
#
#   PYTHON=python3.12 ./install.sh     with a Python of your choice, 3.11 or newer
set -euo pipefail
cd "$(dirname "$0")"
. ./settings.sh
python=${PYTHON:-python3}

if ! id "$account" > /dev/null 2>&1; then
    useradd --system --home-dir "$folder" --shell /usr/sbin/nologin "$account"
fi
install -d -m 755 "$folder" "$folder/versions"
install -d -m 700 -o "$account" "$folder/cache" "$recordings" "$backups"

# What is installed is named by what was launched, so that the same files are installed once.
version="$folder/versions/<<version>>-$(sha256sum launch.json | cut -c 1-8)"
if [ ! -f "$version/complete" ]; then
    rm -rf "$version"
    "$python" -m venv "$version"
    "$version/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
    install -m 644 recipe.toml settings.sh modersmal*.service modersmal*.timer "$version/"
    install -m 755 backup.sh keys.sh restore.sh rollback.sh "$version/"
    touch "$version/complete"
fi
"$version/bin/modersmal" --version

before=$(readlink "$folder/current" || true)
if [ "$before" = "$version" ]; then
    echo "This version runs already."
    exit 0
fi
if [ -n "$before" ]; then
    systemctl stop modersmal
    if backup=$(back_up "$before"); then
        echo "$before" > "$version/version-before"
        echo "$backup" > "$version/backup-before"
    else
        systemctl start modersmal
        echo "Nothing could be backed up, so nothing was changed." >&2
        exit 1
    fi
fi
switch_to "$version"
if systemctl start modersmal; then
    systemctl enable modersmal
    systemctl enable --now modersmal-backup.timer
    echo "The server runs $(basename "$version")."
elif [ -n "$before" ]; then
    echo "$(basename "$version") does not come up; see journalctl -u modersmal. Going back." >&2
    "$version/rollback.sh"
    exit 1
else
    echo "The server does not come up; see journalctl -u modersmal" >&2
    exit 1
fi
