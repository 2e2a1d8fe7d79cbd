#!/usr/bin/env bash
# Make or reuse a virtual environment with mmlogo in it.
#
#   tools/setup_env.sh [EXTRA ...]        e.g. tools/setup_env.sh tests quickstart
#
# PYTHON       the interpreter to make it with (python3), 3.10 to 3.13
# MMLOGO_VENV  where (.venv in the repository)
#
# It does nothing when the last installation was of this folder with the same Python, setup.py,
# constraints and extras.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
venv=${MMLOGO_VENV:-$root/.venv}
extras=$(printf '%s\n' "$@" | sort -u | paste -sd, -)
begun=$SECONDS

say() { printf 'setup_env: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

command -v "$python" >/dev/null ||
  fail "there is no interpreter '$python'; set PYTHON to one of 3.10 to 3.13"
version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' ||
  fail "'$python' is Python $version, but mmlogo needs 3.10 to 3.13; set PYTHON to one of them"
for module in venv ensurepip; do
  "$python" -c "import $module" 2>/dev/null ||
    fail "'$python' has no module $module; install it (Debian, Ubuntu: apt install python3-venv)"
done
for file in setup.py requirements/constraints.txt; do
  [[ -f $root/$file ]] || fail "$root/$file is missing; use a complete checkout"
done

stamp=$(
  "$python" - "$version $root" "$extras" "$root/setup.py" "$root/requirements/constraints.txt" <<'PY'
import hashlib, pathlib, sys

digest = hashlib.sha256('\0'.join(sys.argv[1:3]).encode())
for name in sys.argv[3:]:
    digest.update(b'\0' + pathlib.Path(name).read_bytes())
print(digest.hexdigest())
PY
)
if [[ -x $venv/bin/python && -f $venv/mmlogo.stamp && $(<"$venv/mmlogo.stamp") == "$stamp" ]]; then
  say "$venv is up to date (Python $version${extras:+, $extras})"
  exit 0
fi

if [[ -x $venv/bin/python ]]; then
  made=$("$venv/bin/python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])') ||
    fail "the Python of $venv does not start; remove that folder and try again"
  [[ $made == "$version" ]] ||
    fail "$venv was made with Python $made and '$python' is $version; remove that folder, or set MMLOGO_VENV to another"
  say "updating $venv (Python $version)"
else
  say "making $venv with Python $version"
  "$python" -m venv "$venv"
fi
rm -f "$venv/mmlogo.stamp" # an installation that breaks off is not up to date
log=$venv/install.log # pip's warnings are for those who look
install() {
  "$venv/bin/python" -m pip install --disable-pip-version-check "$@" >>"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    fail "pip failed; its whole output is in $log"
  }
}
install --upgrade pip
say "pip is ready after $((SECONDS - begun)) s; installing mmlogo${extras:+[$extras]}"
cd "$root"
install -c requirements/constraints.txt -e ".${extras:+[$extras]}"
printf '%s\n' "$stamp" >"$venv/mmlogo.stamp"
say "done in $((SECONDS - begun)) s: $venv/bin/python"
