# make play    set everything up and play
# make test    set everything up and run the tests
# make mutations  push 2,000 damaged models at a store
# make check   lint, types, spelling, layers
# make bench   what the instrument costs on this machine, and the inversion beside its peers
# make soak SECONDS=7200   hours of playing with bursts on every pin
# make test-appliance       the appliance in a container, and a Pi's programs on this machine (as root)
# make test-appliance-full  the same, updates of its software, and an emulated machine whose power is cut (1.5 hours)
# make wheelhouse ARCH=aarch64 PYTHON=3.11   what a Pi without network installs from
# make update-bundle KEY=~/.ssh/id_ed25519   that wheelhouse as one signed file for `switchboard update`
# make image   the image of an SD card for a Raspberry Pi 3, 4, 5 or Zero 2 W, in build/image (as root)
# make rehearse-image  boots that image in an emulator, and cuts its power (as root, an hour)
# make wheels  the package for both processors, with its compiled kernel, in dist/
# make site    the documentation and the instrument in the browser, in build/site
# make test-site  plays the instrument in a headless Chromium (Debian's chromium)
# make sounds  the sounds of the README, from the bundled model
# make pictures  its pictures, and those of docs/
# make dist    what is published: the sdist, and from it the wheels, in dist/, checked by twine
# make clean   forget the environment

PYTHON ?= python3
# Of the machine a wheelhouse is for.
ARCH ?= aarch64
VENV ?= .venv
BIN := $(VENV)/bin
# Where to look for torch besides the default index, such as
# TORCH_INDEX=https://download.pytorch.org/whl/cpu for the build without CUDA.
TORCH_INDEX ?=

PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCKED := --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
SOURCES := pyproject.toml constraints.txt $(wildcard device/synthesis/kernel/source/*)

.PHONY: play wheels dist test mutations check format bench soak appliance-tools test-appliance test-appliance-full rehearsal-tools rehearse rehearse-full wheelhouse update-bundle image image-tools rehearse-image site test-site sounds pictures lock clean

play: $(VENV)/box
	@$(BIN)/switchboard play

# Two halves at once, for two cores; the report of the first follows that of the second.
FIRST_HALF := tests/device tests/systemd tests/export tests/fuzz tests/benchmarks tests/training/corpus
SECOND_HALF := tests/training tests/end_to_end $(wildcard tests/test_*.py) \
	--ignore=tests/training/corpus
# OpenMP's threads wait actively, and one half would wait on the other's core.
test: export OMP_NUM_THREADS := 1
test: $(VENV)/workshop
	@first=$$(mktemp) && trap 'rm -f "$$first"' EXIT; \
	$(BIN)/python -m pytest $(FIRST_HALF) >"$$first" 2>&1 & half=$$!; \
	$(BIN)/python -m pytest $(SECOND_HALF); second=$$?; \
	wait $$half; status=$$?; cat "$$first"; [ $$status = 0 ] && [ $$second = 0 ]

mutations: $(VENV)/workshop
	$(BIN)/python -m tests.fuzz.mutations 2000

check: $(VENV)/workshop
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/lint-imports

format: $(VENV)/workshop
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/workshop
	$(BIN)/switchboard bench --seconds 60
	@$(PIP) install $(LOCKED) --group bench
	$(BIN)/python tests/benchmarks/inversion.py

SECONDS ?= 600
soak: $(VENV)/box
	PYTHONPATH=. $(BIN)/python tests/soak/soak.py --seconds $(SECONDS)

# Mounts and processes end with the tests, however they end. Where that is not permitted, without
# root or inside a container that is not to have namespaces of its own, most of it is skipped.
UNSHARE := unshare --mount --pid --fork --kill-child --mount-proc
ROOM = $(shell [ "$$(id -u)" = 0 ] && $(UNSHARE) true 2>/dev/null && echo "$(UNSHARE)")
UNITS := tests/systemd/test_units.py
CONTAINER := tests/appliance/test_container.py tests/appliance/test_panel.py
UPDATES := tests/appliance/test_update.py
GUEST := tests/appliance/test_virtual_machine.py
ARM64 := tests/appliance/test_arm64.py
REHEARSAL := tests/appliance/test_image.py

test-appliance: $(VENV)/workshop
	timeout --signal=KILL 40m $(ROOM) $(BIN)/python -m pytest $(UNITS) $(CONTAINER) $(ARM64)

test-appliance-full: $(VENV)/workshop
	timeout --signal=KILL 220m $(ROOM) $(BIN)/python -m pytest $(UNITS) $(CONTAINER) $(UPDATES) $(GUEST) $(ARM64)

appliance-tools:
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends e2fsprogs iproute2 libportaudio2 mmdebstrap \
		openssh-client pulseaudio pulseaudio-utils qemu-system-x86 qemu-user-static \
		systemd-container util-linux

IMAGE := build/image/lofi-switchboard.img
image:
	$(MAKE) wheelhouse ARCH=aarch64 PYTHON=3.13
	sh systemd/image/build.sh build/wheelhouse-3.13-aarch64 $(dir $(IMAGE))

rehearse-image: $(VENV)/workshop
	@test -f $(IMAGE) || { echo "found no $(IMAGE), expected it: sudo make image" >&2; exit 1; }
	timeout --signal=KILL 240m $(ROOM) env SWITCHBOARD_IMAGE=$(IMAGE) $(BIN)/python -m pytest -s $(REHEARSAL)

image-tools:
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends device-tree-compiler dosfstools fdisk \
		e2fsprogs genimage mmdebstrap mtools openssh-client qemu-system-arm qemu-user-static util-linux xz-utils

# The names before; CI and messages of the tests still use them.
rehearse: test-appliance
rehearse-full: test-appliance-full
rehearsal-tools: appliance-tools

# PYTHON is here the version over there, such as 3.11 (Bookworm) or 3.13 (Trixie).
wheelhouse: VERSION_THERE := $(if $(filter 3.%,$(PYTHON)),$(PYTHON),3.11)
wheelhouse: override PYTHON := python3
wheelhouse: $(VENV)/bin/python
	@PYTHON_WITH_PIP=$(BIN)/python sh systemd/wheelhouse.sh $(ARCH) $(VERSION_THERE) build/wheelhouse-$(VERSION_THERE)-$(ARCH)

# What `switchboard update` installs; KEY is the private key that signs it.
update-bundle: VERSION_THERE := $(if $(filter 3.%,$(PYTHON)),$(PYTHON),3.11)
update-bundle: override PYTHON := python3
update-bundle: $(VENV)/box
	@test -n "$(KEY)" || { echo "found no KEY, expected the private key that signs: make update-bundle KEY=~/.ssh/id_ed25519" >&2; exit 1; }
	@PYTHON_WITH_PIP=$(BIN)/python sh systemd/wheelhouse.sh $(ARCH) $(VERSION_THERE) build/wheelhouse-$(VERSION_THERE)-$(ARCH)
	@$(BIN)/switchboard bundle build/wheelhouse-$(VERSION_THERE)-$(ARCH) --key $(KEY)

wheels: $(VENV)/bin/python
	for arch in x86_64 aarch64; do \
		SWITCHBOARD_TARGET=$$arch $(PIP) wheel --no-deps --wheel-dir dist . || exit 1; \
	done

# The wheels are built from the sdist: what is missing there fails here.
dist: $(VENV)/bin/python
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install $(LOCKED) --group dist
	rm -f dist/lofi_switchboard-*
	$(BIN)/python -m build --sdist --outdir dist
	for arch in x86_64 aarch64; do \
		SWITCHBOARD_TARGET=$$arch $(PIP) wheel --no-deps --wheel-dir dist dist/lofi_switchboard-*.tar.gz || exit 1; \
	done
	$(BIN)/python -m twine check --strict dist/lofi_switchboard-*

site: $(VENV)/site
	@$(BIN)/python docs/site/build_site.py

test-site: $(VENV)/site $(VENV)/workshop
	$(BIN)/python -m pytest tests/docs

sounds: $(VENV)/workshop
	$(BIN)/python docs/render_sounds.py

pictures: $(VENV)/site $(VENV)/workshop
	$(BIN)/python docs/draw_spectrogram.py
	$(BIN)/python docs/draw_flips.py
	$(BIN)/python docs/draw_panel.py
	$(BIN)/python docs/draw_pages.py
	$(BIN)/switchboard faceplate bundled --out docs/faceplate.svg --box docs/box.svg

# What the site needs on top of the box: mkdocs, zig, and onnxruntime-web from npm's registry.
$(VENV)/site: pyproject.toml constraints.txt docs/site/package-lock.json $(VENV)/box
	@command -v npm >/dev/null || \
		{ echo "found no npm, expected it: install Node.js 20 or later, with npm" >&2; exit 1; }
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install $(LOCKED) --group site
	@npm ci --prefix docs/site --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

# What the box needs: no torch.
$(VENV)/box: $(SOURCES) | $(VENV)/bin/python
	@echo "setting up the box in $(VENV) (once)"
	@$(PIP) install $(LOCKED) --editable .
	@sh systemd/portaudio.sh
	@touch $@

# What training, export, tests and checks need on top.
$(VENV)/workshop: $(SOURCES) | $(VENV)/bin/python
	@echo "setting up the workshop in $(VENV) (once; torch is large)"
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install $(LOCKED) --editable '.[training,export]' --group test --group check
	@sh systemd/portaudio.sh
	@touch $@ $(VENV)/box

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "found $$($(PYTHON) --version 2>&1), expected Python 3.11 to 3.13: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# Pins every package of every extra to what is installed now.
lock: $(VENV)/workshop
	$(BIN)/python -m pip freeze --exclude-editable --exclude pip | sed "s/+cpu$$//" > constraints.txt

clean:
	rm -rf $(VENV)
