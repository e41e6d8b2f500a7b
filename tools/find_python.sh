#!/bin/sh
# Prints the newest usable Python from 3.11 on; with --all, one of each minor version, oldest first.
# Usable: it makes virtual environments (Debian keeps that in a package of its own).
set -u
candidates() {
  for v in 15 14 13 12 11; do
    command -v "python3.$v" 2>/dev/null
    for root in "${PYENV_ROOT:-}" "$HOME/.pyenv"; do
      [ -n "$root" ] && ls -d "$root"/versions/3."$v".*/bin/python3 2>/dev/null
    done
    [ -x "/usr/bin/python3.$v" ] && echo "/usr/bin/python3.$v"
  done
  command -v python3 2>/dev/null
}
probe='import sys, venv, ensurepip; assert sys.version_info[:2] >= (3, 11) and sys.version_info.releaselevel == "final"; print("%d.%d" % sys.version_info[:2], sys.executable)'
found=$(candidates | while read -r python; do "$python" -c "$probe" 2>/dev/null; done | sort -t. -k2n | awk '!seen[$1]++ {print $2}')
[ -n "$found" ] || exit 1
if [ "${1:-}" = --all ]; then echo "$found"; else echo "$found" | tail -n 1; fi
