#!/bin/sh
# deps.sh PACKAGE... - installs the packages that are missing, and only those.
# Debian and Ubuntu through apt-get (with sudo when not root), macOS through Homebrew.
set -eu
if command -v dpkg-query >/dev/null 2>&1; then
  missing=
  for package in "$@"; do
    case "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)" in
      *"ok installed"*) ;;
      *) missing="$missing $package" ;;
    esac
  done
  [ -z "$missing" ] && exit 0
  echo "installing:$missing"
  run=
  [ "$(id -u)" = 0 ] || run=sudo
  $run apt-get update -qq || echo "deps: apt-get update failed; trying with the lists there are" >&2
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $missing >/dev/null || {
    echo "deps: these could not be installed; please do it by hand: apt-get install$missing" >&2
    exit 1
  }
elif command -v brew >/dev/null 2>&1; then
  for package in sqlite openblas utf8proc cmocka; do
    brew list "$package" >/dev/null 2>&1 || brew install "$package"
  done
else
  echo "deps: neither apt-get nor brew is here; please install by hand: $*" >&2
  exit 1
fi
