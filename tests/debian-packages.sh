#!/bin/sh
# Install the Debian packages of programs that are missing, without starting a service.
#
#   debian-packages.sh PROGRAM=PACKAGE ...
#
# PROGRAM is a name to be found on the PATH (or where Debian hides servers), or a path
# that may hold a * . Without root it says what is missing and leaves it at that, unless
# CI=true.
set -eu

PATH=$PATH:/usr/sbin:/sbin:$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')

# The packages whose programs are not here.
missing() {
    for pair; do
        case $pair in
        /*) ls ${pair%%=*} >/dev/null 2>&1 || printf '%s ' "${pair#*=}" ;;
        *) command -v "${pair%%=*}" >/dev/null || printf '%s ' "${pair#*=}" ;;
        esac
    done
}

wanted=$(missing "$@" | sed 's/ $//')
[ -n "$wanted" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    if [ "${CI:-}" = true ]; then
        echo "== not installed, and CI skips nothing: $wanted"
        exit 1
    fi
    echo "== not installed, and only root can (apt-get install $wanted): what needs them is skipped"
    exit
fi

echo "== Debian packages: $wanted"
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
if [ -e $policy ]; then
    trap 'rm -f "$log"' EXIT
else
    # 101: a package may not start its service
    trap 'rm -f "$log" $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
{
    apt-get -q update && apt-get -q install -y --no-install-recommends $wanted
} >"$log" 2>&1 </dev/null || {
    tail -n 20 "$log"
    echo "apt-get could not install: $wanted"
    exit 1
}
