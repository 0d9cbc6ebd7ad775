# Sourced by the scripts here: Debian packages of one suite, from the mirrors that this machine's apt uses.
# shellcheck shell=bash

readonly SUITE=trixie # the first Debian with PostgreSQL 17, Python 3.13 and Compose v2
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

# Print sources for the suite: Debian's own archives as configured here, with the suite's name put in.
debian_sources() {
    local sources
    # shellcheck disable=SC2016 # apt fills these in
    sources=$(apt-get indextargets --format '$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(SITE)' 2>/dev/null |
        sed -nE "s/^Debian\|main\|[a-z]+(-updates|-security)?\|(.+)$/deb [signed-by=${KEYRING//\//\\/}] \2 $SUITE\1 main/p" |
        sort -u)
    [ -n "$sources" ] || fail "apt knows no Debian mirror yet: run \`apt-get update\` as root, then try again"
    printf '%s\n' "$sources"
}

# Print the mirror that holds the suite itself, for debootstrap.
debian_mirror() { debian_sources | awk -v suite="$SUITE" '$4 == suite { print $3; exit }'; }

# Print the machine's settings for fetching (proxies, clocks that are off), for an image's apt.
apt_acquire_settings() {
    apt-config dump --no-empty --format '%F "%v";%n' Acquire |
        grep -E '^Acquire::(http|https)::Proxy |^Acquire::(Check-Valid-Until|Check-Date|Retries) ' || true
}

# Run apt-get for the suite in a folder of its own: the system's sources, lists and packages stay as they are.
suite_apt_get() {
    local folder=$1
    shift
    apt-get -qq \
        -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$folder/state" -o Dir::State::status="$folder/status" -o Dir::Cache="$folder/cache" \
        -o APT::Sandbox::User=root "$@"
}
