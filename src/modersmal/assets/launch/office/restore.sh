#!/usr/bin/env bash
# Bring a backup back. As root: <<folder>>/current/restore.sh <<backups>>/20261224T031000Z
#
# What is there now is backed up first, if it can be read.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/settings.sh"
if [ $# -ne 1 ]; then
    echo "usage: $0 BACKUP; these are in $backups:" >&2
    ls "$backups" >&2
    exit 2
fi
version=$(readlink "$folder/current")
systemctl stop modersmal
trap 'systemctl start modersmal' EXIT
back_up "$version" || echo "What is there now could not be backed up." >&2
as_server "$version/bin/python" -m modersmal.serve.backup restore \
    --recipe "$version/recipe.toml" --from "$(readlink -f "$1")"
trap - EXIT
systemctl start modersmal
echo "The server runs again, with $1."
