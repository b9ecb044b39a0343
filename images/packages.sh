#!/bin/sh
# Make sure that Debian packages are there: installed only where the base image lacks one, without recommendations,
# package lists or caches left behind. A base image that brings them builds without reaching a mirror.
set -eu
if ! dpkg-query --show --showformat='' "$@" 2> /dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    apt-get install --yes --no-install-recommends "$@"
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
fi
