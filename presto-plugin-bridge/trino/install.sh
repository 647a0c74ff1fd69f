#!/usr/bin/env bash
# Makes the plugin folders alio-hive, alio-delta-lake, alio-hudi and alio-iceberg of a Trino 476 server: each is the server's own plugin, by hard links, with our jars in the
# place of the one that registers it. Trino's own plugins stay as they are. Run it again after an update; to uninstall, remove plugin/alio-*.
#
#   install.sh [--to FOLDER] TRINO_HOME       # --to: where the folders are made; default TRINO_HOME/plugin
set -euo pipefail
version=476

usage() { echo "usage: $0 [--to FOLDER] TRINO_HOME" >&2; exit 2; }
fail() { echo "$0: $*" >&2; exit 1; }

to=
if [ "${1:-}" = --to ]; then
  to=${2:-}
  [ -n "$to" ] || usage
  shift 2
fi
[ $# = 1 ] || usage
home=$1
to=${to:-$home/plugin}
here=$(cd "$(dirname "$0")" && pwd)

[ -d "$home/plugin" ] || fail "$home has no folder plugin: give the folder of a Trino server"
[ -e "$home/lib/io.trino_trino-spi-$version.jar" ] || fail "$home is not Trino $version ($(cd "$home/lib" && echo io.trino_trino-spi-*)); this bridge is for no other release"
mkdir -p "$to"

made=0
for plugin in hive delta-lake hudi iceberg; do
  from=$home/plugin/$plugin
  [ -d "$from" ] || { echo "$from is not there: no alio-$plugin"; continue; }
  new=$to/.alio-$plugin.new
  rm -rf "$new"
  cp -al "$from" "$new" 2>/dev/null || { rm -rf "$new"; cp -a "$from" "$new"; } # another disk: copies
  rm "$new/trino-$plugin-$version-services.jar"
  cp "$here/alio-client.jar" "$here/alio-trino.jar" "$here/services/alio-trino-$plugin-services.jar" "$new/"
  rm -rf "${to:?}/alio-$plugin"
  mv "$new" "$to/alio-$plugin"
  echo "$to/alio-$plugin"
  made=$((made + 1))
done
[ $made -gt 0 ] || fail "$home/plugin has none of hive, delta-lake and hudi"
