#!/usr/bin/env bash
# Take a backup now, while the server runs; a timer does it every night. As root: <<folder>>/current/backup.sh
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/settings.sh"
back_up "$(readlink "$folder/current")"
