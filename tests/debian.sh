#!/usr/bin/env bash
# The tests on another Debian: `./glioloop test --debian SUITE [pytest arguments]`, SUITE trixie, sid or any that
# this machine's mirror has.
#
# Makes a folder of that Debian (debootstrap; kept for the next run), copies the working tree into it, and runs the
# same `./glioloop test` there, which installs that Debian's Orthanc, plugin and Python. Needs root, for chroot.
# What is mounted for the run (/proc, /dev, real data) is mounted for this command alone and goes with it.
#
#   GLIOLOOP_DEBIAN_FOLDERS=DIR  where the folders lie; default .state/debian
#   GLIOLOOP_SHARED=DIR          real data, mounted read-only; default ../shared
#   GLIOLOOP_TORCH=yes           with torch, too (tests of training skip without): its usual build takes gigabytes
set -euo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
suite="${1:?which Debian? for example trixie or sid}"
shift
[[ "$suite" =~ ^[a-z]+$ ]] || { echo "glioloop: '$suite' is no name of a Debian release" >&2; exit 2; }
folder="${GLIOLOOP_DEBIAN_FOLDERS:-$root/.state/debian}/$suite"
shared="${GLIOLOOP_SHARED:-$root/../shared}"
inside=/opt/glioloop # where the working tree lies in that Debian

say() { printf 'glioloop: %s\n' "$*" >&2; }

[ "$(id -u)" = 0 ] || { say "another Debian needs root (chroot): run this as root"; exit 2; }

mkdir -p "${folder%/*}"
exec 9>"$folder.lock" # held until the run ends
flock -n 9 || { say "another run is using $folder"; exit 2; }

# --- the folder ------------------------------------------------------------------------------------------

if [ ! -e "$folder/etc/debian_version" ]; then
  # The mirror that this machine's own apt is configured with.
  mirror="$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)"
  [ -n "$mirror" ] || { say "apt knows no mirror of Debian on this machine (apt-get update?)"; exit 2; }
  say "making a folder of Debian $suite: $folder"
  rm -rf "$folder.part"
  mkdir -p "$folder.part"
  log="$(mktemp)"
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$folder.part" "$mirror" >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    say "debootstrap could not make Debian $suite"
    exit 2
  }
  rm -f "$log"
  mv "$folder.part" "$folder"
fi

# Names resolve, and certificates are trusted, there as here.
cp -L /etc/resolv.conf /etc/hosts "$folder/etc/"
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
  install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$folder/usr/local/share/ca-certificates/of-this-machine.crt"
  chroot "$folder" update-ca-certificates >/dev/null 2>&1
fi

# The working tree as it is now; what was set up there stays.
mkdir -p "$folder$inside"
find "$folder$inside" -mindepth 1 -maxdepth 1 ! -name .venv ! -name .state -exec rm -rf {} +
{
  tar -C "$root" --exclude=./.git --exclude=./.venv --exclude=./.state --exclude=./var --exclude='*_cache' \
    --exclude=__pycache__ -cf - . || [ $? = 1 ] # 1: a file changed while it was read
} | tar -C "$folder$inside" --no-same-owner -xf -

# --- the run ---------------------------------------------------------------------------------------------

run='
set -eu
folder=$1 shared=$2 inside=$3
shift 3
mount -t proc proc "$folder/proc"
mount --rbind /dev "$folder/dev"
if [ -d "$shared" ]; then
  mkdir -p "$folder/srv/shared"
  mount --bind "$shared" "$folder/srv/shared"
  mount -o remount,bind,ro "$folder/srv/shared"
fi
exec chroot "$folder" env -u GLIOLOOP_INTERPRETER -u GLIOLOOP_ROOT -u TMPDIR \
  HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  GLIOLOOP_SHARED=/srv/shared GLIOLOOP_TORCH="${GLIOLOOP_TORCH:-no}" "$inside/glioloop" test "$@"
'
# Namespaces of its own: no mount is left behind, and no process, however this ends.
exec unshare --mount --pid --fork --kill-child --propagation private \
  bash -c "$run" glioloop "$folder" "$shared" "$inside" "$@"
