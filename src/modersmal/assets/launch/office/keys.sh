#!/usr/bin/env bash
# Keys of the server: <<folder>>/current/keys.sh add anna, or list, or revoke anna. As root.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/settings.sh"
version=$(readlink "$folder/current")
as_server "$version/bin/modersmal" keys "$@" --recipe "$version/recipe.toml"
