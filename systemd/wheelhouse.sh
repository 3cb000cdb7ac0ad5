#!/bin/sh
# Fill a folder with all that install.sh needs on a machine without network.
#
#   systemd/wheelhouse.sh ARCH PYTHON FOLDER     such as: aarch64 3.11 build/wheelhouse
#
# Needs a `python3` with pip 25 or newer in $PYTHON_WITH_PIP. Copy the folder to the Pi and run the
# install.sh in its folder systemd/.
set -eu

arch=$1 version=$2 folder=$3
pip="${PYTHON_WITH_PIP:-python3} -m pip --disable-pip-version-check --quiet"
here=$(dirname "$0")

# The C library of the system that comes with this Python: Bookworm 2.36, Trixie 2.41.
case $version in
    3.11) newest=36 ;;
    *) newest=41 ;;
esac
platforms="--platform manylinux2014_$arch --platform linux_$arch"
glibc=17
while [ $glibc -le $newest ]; do
    platforms="$platforms --platform manylinux_2_${glibc}_$arch"
    glibc=$((glibc + 1))
done

# The requirements of pyproject.toml on the target. pip itself would evaluate their conditions for the
# Python it runs on, not for the one it downloads for.
requirements() {
    ${PYTHON_WITH_PIP:-python3} - "$arch" "$version" "$here/../pyproject.toml" <<'END'
import sys, tomllib
from pathlib import Path
from pip._vendor.packaging.requirements import Requirement

arch, version, project = sys.argv[1:]
target = {"platform_machine": arch, "python_version": version, "python_full_version": f"{version}.0"}
metadata = tomllib.loads(Path(project).read_text())["project"]
# Those of the panel are small, and `install.sh --panel` needs them.
for text in metadata["dependencies"] + metadata["optional-dependencies"]["panel"]:
    requirement = Requirement(text)
    if requirement.marker is None or requirement.marker.evaluate(target):
        print(requirement.name + str(requirement.specifier))
END
}

rm -rf "$folder"
mkdir -p "$folder"
requirements >"$folder/requirements.txt"
# shellcheck disable=SC2086  # lists of words
$pip download --dest "$folder" --only-binary=:all: --implementation cp --python-version "$version" \
    $platforms --constraint "$here/../constraints.txt" --requirement "$folder/requirements.txt" pip
# PyPI has no wheel of lgpio for this Python: built from its source.
case $version in
    3.11 | 3.12) ;;
    *) ${PYTHON_WITH_PIP:-python3} "$here/lgpio_wheel.py" "$arch" "$folder" ||
        echo "no lgpio for Python $version to be had: pins need the system's python3-lgpio" >&2 ;;
esac
# With the kernel compiled for over there, where a compiler for it can be had.
# shellcheck disable=SC2086
SWITCHBOARD_TARGET=$arch $pip wheel --no-deps --wheel-dir "$folder" "$here/.." ||
    { echo "no compiler for $arch to be had: the wheel plays with numpy alone" >&2
      CC=false $pip wheel --no-deps --wheel-dir "$folder" "$here/.."; }
cp -RL "$here" "$folder/systemd"
echo "$folder: $(find "$folder" -name '*.whl' | wc -l) wheels, $(du -sm "$folder" | cut -f 1) MB for Python $version on $arch"
