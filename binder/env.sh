#!/usr/bin/env bash
# Prepares everything that labkit needs: a few Debian or Ubuntu packages, and a
# Python environment of its own in .venv. Run by `make env`, `make lab`, `make test`.
#
#   binder/env.sh [browser] [fresh] [vm]     what is wanted beside the lab itself
#
# PYTHON=python3.12 chooses another Python. pip and apt ask the package index that
# this machine is configured for. Nothing outside .venv changes but those packages,
# and the second run only looks: it takes a fraction of a second.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
    local packages=() python=""
    # The two exclude each other; without the static one the lab downloads a copy.
    is_installed busybox ||
        want_package busybox-static "the small root file system of the chapters"
    for wanted in "$@"; do "want_$wanted"; done
    if ! environment_is_ready; then
        python=$(find_python)
        # Debian splits pip's installer off Python; other Pythons bring it.
        "$python" -c 'import ensurepip' 2>/dev/null ||
            want_package "$("$python" -c "$VENV_PACKAGE")" "Python environments"
    fi
    [ ${#packages[@]} -eq 0 ] || install_packages "${packages[@]}"
    environment_is_ready || make_environment "$python"
}

want_browser() {
    want_package libatomic1 "the program that steers that browser"
    [ -n "${LABKIT_CHROMIUM:-}" ] || [ -x /usr/bin/chromium ] && return
    if [ -z "$(apt-cache madison chromium 2>/dev/null)" ] && is_ubuntu; then
        say "Ubuntu has Chromium as a snap only: set LABKIT_CHROMIUM to a browser's path"
        return
    fi
    want_package chromium "the tests that click through the chapters"
    want_package fonts-dejavu-core "readable letters in that browser"
}

want_vm() {
    want_package qemu-system-x86 "the lab VM: an emulated computer"
    want_package e2fsprogs "the disk of the lab VM"
    command -v mksquashfs >/dev/null ||
        want_package erofs-utils "the root file system of the lab VM"
}

want_fresh() {
    want_package mmdebstrap "the new machine in a directory that make fresh tests in"
}

# Debian's own name for the missing half of a Python: python3.11-venv.
VENV_PACKAGE='import sys; print("python%d.%d-venv" % sys.version_info[:2])'

say() { echo "labkit: $*"; }
is_ubuntu() { grep -qi '^ID.*ubuntu' /etc/os-release; }

is_installed() {
    dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null |
        grep -qx installed
}

want_package() { # name, what it is for
    is_installed "$1" && return
    say "missing: $1 - $2"
    packages+=("$1")
}

install_packages() {
    local command="apt-get update -qq && DEBIAN_FRONTEND=noninteractive"
    command+=" apt-get install -qq --yes --no-install-recommends $*"
    local root=(bash -c)
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { cannot_install "$command"; return; }
        say "sudo installs them; it may ask for your password, once"
        root=(sudo bash -c)
    fi
    quietly "${root[@]}" "$command" || cannot_install "$command"
}

# Without a package the lab still starts and says what is missing where it is needed;
# without pip there is no lab.
cannot_install() {
    say "these packages could not be installed from here. Somebody who is root types:"
    echo "    $1"
    case $1 in *-venv*) say "then run make again"; exit 1 ;; esac
    say "going on without; what needs them says so"
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
        then
            echo "$candidate"
            return
        fi
    done
    say "Python 3.11 or newer is needed, and ${PYTHON:-python3} is" \
        "$(${PYTHON:-python3} --version 2>&1 || true)" >&2
    say "with a newer one installed: make lab PYTHON=python3.12" >&2
    return 1
}

# What .venv was made for: this directory (an environment can't be moved), this list.
fingerprint() { echo "$PWD $(cat pyproject.toml labkit/widgets/overrides.json | cksum)"; }

environment_is_ready() {
    [ "$(cat .venv/.ready 2>/dev/null)" = "$(fingerprint)" ] && .venv/bin/python -c pass
}

# Programs in .venv/bin begin with the path that they were installed under.
can_be_reused() {
    case $(cat .venv/.ready 2>/dev/null) in "" | "$PWD "*) ;; *) return 1 ;; esac
    .venv/bin/python -m pip --version >/dev/null 2>&1
}

make_environment() {
    if [ -e .venv ] && [ ! -w .venv ]; then
        say ".venv belongs to $(stat -c %U .venv): sudo make clean, then make again"
        exit 1
    fi
    say "preparing .venv with $("$1" --version); this takes a minute, once"
    can_be_reused || "$1" -m venv --clear .venv
    quietly .venv/bin/python -m pip install --disable-pip-version-check --editable '.[test]' || {
        say "pip could not install what pyproject.toml lists; its last words are above"
        exit 1
    }
    # An editable install leaves out the wheel's data files.
    mkdir -p .venv/share/jupyter/lab/settings
    ln -sf "$PWD/labkit/widgets/overrides.json" .venv/share/jupyter/lab/settings/
    mkdir -p .venv/share/jupyter/kernels/labkit-vm
    ln -sf "$PWD/labkit/vm/jupyter/kernels/python3/kernel.json" \
        .venv/share/jupyter/kernels/labkit-vm/
    fingerprint >.venv/.ready
}

# The output of a long command matters only when it fails.
quietly() {
    local output
    output=$(mktemp)
    if "$@" </dev/null >"$output" 2>&1; then
        rm "$output"
    else
        tail -n 25 "$output"
        rm "$output"
        return 1
    fi
}

main "$@"
