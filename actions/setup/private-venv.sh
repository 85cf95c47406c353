#!/usr/bin/env bash
# Makes the virtual environment that ci-envs itself runs in, and names its interpreter in the step output `python`.
#
# It lies in RUNNER_TEMP, which the runner empties; neither PATH nor any Python of the caller is changed. Everything in
# it comes from requirements/ci-envs.txt, by hash. ci-envs is not installed: a .pth file names its sources, which lie
# beside this script, so no build backend is needed (https://docs.python.org/3/library/site.html).
set -euo pipefail

# Index settings, proxies and certificates of the caller hold for pip; what would move or change the install does not.
unset PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_REQUIREMENT PIP_CONSTRAINT PIP_BUILD_CONSTRAINT PIP_NO_BINARY \
  PIP_ONLY_BINARY PIP_REQUIRE_VIRTUALENV PIP_DRY_RUN PIP_PYTHON PIP_REPORT PYTHONHOME PYTHONPATH PYTHONSTARTUP

oldest=11 # Python 3.11: requires-python of pyproject.toml

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=${RUNNER_TEMP:?this runs as a step of a GitHub Actions job}/ci-envs-tool

# -I: nothing of the caller's folder or variables may decide what is imported.
suits() {
  "$1" -I -c "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, $oldest))" >/dev/null 2>&1
}

# PATH first, since that is what a person sees; then what the runner keeps for actions/setup-python.
find_python() {
  local candidate
  for candidate in python3 python python3.14 python3.13 python3.12 python3.11 \
    "${RUNNER_TOOL_CACHE:-/nonexistent}"/Python/3.*/*/bin/python3 \
    "${RUNNER_TOOL_CACHE:-/nonexistent}"/Python/3.*/*/python.exe; do
    if suits "$candidate"; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  echo "::error title=ci-envs::no Python 3.$oldest or newer with venv was found on PATH or in the tool cache." \
    "Put actions/setup-python before this step, or install python3 and python3-venv."
  return 1
}

python=$(find_python) || { printf '%s\n' "$python"; exit 4; }

# An interpreter that is itself a virtual environment may vanish with it: the one it was made from is asked. Nothing is
# printed behind an answer, since on Windows a line ends with two characters and the shell takes away one.
base=$("$python" -I -c 'import sys; print(getattr(sys, "_base_executable", "") or sys.executable, end="")')

# The pip that `venv` would install, run from where the interpreter keeps it: installing it takes three seconds, and
# compiling what nobody imports takes the half of what is left.
pip=$("$base" -I -c '
import ensurepip, glob, os
folders = (os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), getattr(ensurepip, "_WHEEL_PKG_DIR", None))
print(max(name for folder in folders if folder for name in glob.glob(os.path.join(folder, "pip-*.whl"))), end="")
')
"$base" -I -m venv --clear --without-pip "$venv"

inside=$venv/bin/python
if [ -x "$venv/Scripts/python.exe" ]; then inside=$venv/Scripts/python.exe; fi
"$inside" -I "$pip/pip" install --quiet --disable-pip-version-check --no-input --no-compile \
  --require-hashes --only-binary :all: --no-deps -r "$root/requirements/ci-envs.txt"
"$inside" -I - "$root/src" <<'PYTHON'
import sys
import sysconfig
from pathlib import Path

Path(sysconfig.get_path("purelib"), "ci-envs.pth").write_text(f"{sys.argv[1]}\n", encoding="utf-8")
PYTHON
"$inside" -I -m ci_envs --version

printf 'python=%s\n' "$inside" >>"$GITHUB_OUTPUT"
