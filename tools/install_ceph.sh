#!/usr/bin/env bash
# Installs Ceph's object gateway and what it needs, from Debian's or Ubuntu's packages, for `make conformance` and the
# contract tests. Changes nothing where it is there already. Exits 1 with a reason where it cannot be installed.
set -euo pipefail
PACKAGES="ceph-mon ceph-osd radosgw ceph-common"

if command -v radosgw >/dev/null && command -v ceph-mon >/dev/null && command -v ceph-osd >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "Ceph is not installed, and there is no apt-get here: install $PACKAGES in this system's way" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "Ceph is not installed, and only root may: sudo apt-get install --no-install-recommends $PACKAGES" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $PACKAGES
