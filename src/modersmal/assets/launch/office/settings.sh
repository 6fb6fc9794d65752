# shellcheck shell=bash disable=SC2034
# What the scripts beside this have in common.
folder='<<folder>>'
account='<<account>>'
recordings='<<recordings>>'
backups='<<backups>>'
keep='<<keep>>'
units=${UNITS:-/etc/systemd/system}

# Let the server's own user do something, with the secrets that the server has.
as_server() {
    (
        set -a
        HOME=$folder
        # shellcheck disable=SC1091
        if [ -f "$folder/environment" ]; then . "$folder/environment"; fi
        cd "$folder" || exit
        exec runuser -u "$account" -- "$@"
    )
}

# Back up with the modersmal of a version; prints where.
back_up() { # VERSION
    as_server "$1/bin/python" -m modersmal.serve.backup save \
        --recipe "$1/recipe.toml" --to "$backups" --keep "$keep"
}

# Let a version be the one that systemd starts.
switch_to() { # VERSION
    install -m 644 "$1"/modersmal*.service "$1"/modersmal*.timer "$units/"
    ln -sfn "$1" "$folder/.current"
    mv -T "$folder/.current" "$folder/current"
    systemctl daemon-reload
}
