#!/usr/bin/env bash
# Go back to the version that ran before the last upgrade. As root: <<folder>>/current/rollback.sh
#
# Where the new version has changed the database so that the old one cannot read it, it is brought back as it was
# before the upgrade; what came since is in the backup that this takes first.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/settings.sh"
version=$(readlink "$folder/current")
if [ ! -f "$version/version-before" ]; then
    echo "There is no version before $(basename "$version")." >&2
    exit 1
fi
before=$(cat "$version/version-before")

systemctl stop modersmal
trap 'systemctl start modersmal' EXIT
echo "Backed up: $(back_up "$version")"
if ! as_server "$before/bin/modersmal" keys list --recipe "$before/recipe.toml" > /dev/null; then
    as_server "$version/bin/python" -m modersmal.serve.backup restore \
        --recipe "$version/recipe.toml" --from "$(cat "$version/backup-before")"
    echo "The database and the recordings are those from before the upgrade."
fi
switch_to "$before"
trap - EXIT
systemctl start modersmal
echo "The server runs $(basename "$before")."
