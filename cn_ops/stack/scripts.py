"""Shell scripts that run beside the client tools, where those need a folder of their own for a while.

They need a POSIX shell and what every image of PostgreSQL has: `cat`, `grep`, `head`, `ls`, `rm`, `sed`, `tar` and
`wc`. A folder's name is random and an argument of the script that made it, by which a later one knows, also after a
crash, whether somebody still uses it.
"""

from __future__ import annotations

import secrets

FOLDER_PREFIX = "cn-ops-folder-"

# Remove what others have left: no process has the folder's name on its command line. Where that cannot be asked,
# nothing is removed. The name reaches grep through its input, for its own command line would count.
_CLEAN = f"""
umask 077
cd "$1" || exit 1
for left in {FOLDER_PREFIX}*; do
  [ -d "$left" ] && [ -r /proc/self/cmdline ] || continue
  printf '%s\\n' "$left" | grep -qsaF -f - /proc/[0-9]*/cmdline || rm -rf "$left"
done
mkdir "$2" || exit 1
folder=$(pwd)/$2
"""

# $1: the parent folder, $2: the folder's name, the rest: pg_dump and its arguments.
# Files that are finished are written out, and removed, while pg_dump goes on with others, so that the dump needs
# room here only for what is not written out yet. A batch is: sizes and names, an empty line, contents.
DUMP_FOLDER = (
    _CLEAN
    + """
cd "$2" || exit 1
shift 2
tool=
clean() { if [ -n "$tool" ]; then kill -TERM "$tool" 2>/dev/null; wait "$tool" 2>/dev/null; fi; rm -rf "$folder"; }
trap 'clean' EXIT
trap 'exit 143' INT TERM HUP
"$@" --file=dump </dev/null >&2 &
tool=$!
give() {
  [ $# -gt 0 ] || return 0
  wc -c "$@" && echo && cat "$@" && rm -f "$@" || exit 1
}
used() {
  for process in "$tool" $(cat /proc/"$tool"/task/*/children 2>/dev/null); do
    ls -l /proc/"$process"/fd 2>/dev/null
  done | sed -n 's/.* -> .*\\/dump\\///p'
}
finished() {
  count=0
  [ -z "$tool" ] || [ -r /proc/"$tool"/task/"$tool"/children ] || return 0
  set -- dump/*.dat dump/*.dat.* dump/blobs*.toc
  # Asked after the files were listed: what is there and not open is finished.
  busy="
$([ -z "$tool" ] || used)
"
  for file do
    shift
    case $file in dump/toc.dat*|*'*'*) continue;; esac
    case $busy in *"
${file#dump/}
"*) continue;; esac
    set -- "$@" "$file"
    count=$((count + 1))
    [ "$count" -lt 500 ] || break
  done
  shift $(($# - count))
  give "$@"
}
while kill -0 "$tool" 2>/dev/null; do
  finished
  [ "$count" -gt 0 ] || sleep 0.1
done
wait "$tool"
status=$?
tool=
[ "$status" = 0 ] || exit "$status"
finished
while [ "$count" -gt 0 ]; do finished; done
give dump/toc.dat
echo
"""
)

# $1: the parent folder, $2: the folder's name, $3: how many bytes come, $4: `archive` (a tar) or `file`.
# The input goes on after them: its end is that of the one who needs the folder.
HOLD_FOLDER = (
    _CLEAN
    + """
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' INT TERM HUP
if [ "$4" = archive ]; then
  head -c "$3" | tar -xf - -C "$folder" || exit 1
else
  head -c "$3" >"$folder/dump" || exit 1
fi
echo "$folder/dump"
cat >/dev/null
"""
)


def folder_name() -> str:
    """Return a new folder's name."""
    return f"{FOLDER_PREFIX}{secrets.token_hex(8)}"
