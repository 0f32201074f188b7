# labkit: learn how containers work by building one.
#
#     make lab      start the lab
#     make test     check that all of it works on this machine
#
# Both prepare what they need first (binder/env.sh says what, and why). All targets:
#     make help

SHELL := /bin/bash
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
FIRST_CHAPTER := notebooks/00_why_containers.ipynb

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help env lab test bench notebooks sweep fresh clean

help:  ## show this list
	@echo "labkit: learn how containers work by building one"; echo
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "    make %-15s %s\n", $$1, $$2 }' Makefile

env:  ## prepare .venv and the few packages that the lab needs
	@binder/env.sh $(WANTED)

# --- The lab ---------------------------------------------------------------------

# A browser opens where there is a screen; root and remote users follow the address.
# JUPYTER_PORT chooses the port, LAB_ARGS adds anything that JupyterLab understands.
IS_ROOT := $(filter 0,$(shell id -u))
SCREEN := $(if $(IS_ROOT),,$(DISPLAY)$(WAYLAND_DISPLAY))

# TIER=root, user or vm says where notebooks run; without it the doctor chooses. In the
# tier vm the kernel that notebooks ask for, python3, is the one of the lab VM.
lab: WANTED := $(filter vm,$(TIER))
lab: env .venv/.trusted  ## start JupyterLab at the first chapter; Ctrl+C twice stops it
	@tier=$$($(PY) -m labkit doctor --tier $(TIER)) || exit 1; \
	    if [ $$tier = vm ]; then \
	        binder/env.sh vm && $(PY) -m labkit vm build || exit 1; \
	        export JUPYTER_PATH='$(CURDIR)/labkit/vm/jupyter':$$JUPYTER_PATH; \
	        one=--KernelSpecManager.allowed_kernelspecs=python3; \
	    fi; \
	    echo "labkit: JupyterLab starts; Ctrl+C, twice, stops it"; \
	    exec $(PY) -m jupyter lab --log-level=ERROR --LabApp.log_level=ERROR \
	    --ServerApp.root_dir='$(CURDIR)' $$one \
	    --LabApp.default_url=/lab/tree/$(FIRST_CHAPTER) \
	    --FileContentsManager.pre_save_hook=labkit.widgets.saved.before_saving \
	    $(if $(IS_ROOT),--allow-root) $(if $(SCREEN),,--no-browser) $(LAB_ARGS)

# JupyterLab shows a notebook's saved pictures only when it is trusted; these are ours.
.venv/.trusted: $(wildcard notebooks/*.ipynb exercises/*.ipynb exercises/*/*.ipynb)
	@$(PY) -m jupyter trust $^ </dev/null >/dev/null 2>&1; touch $@ || true

sweep: env  ## find and remove what a crash left on this machine
	@$(PY) -m labkit sweep

# --- The tests -------------------------------------------------------------------

# Each kind runs on its own, too; `make test` runs them in two lanes, side by side.
TESTS := test-style test-unit test-kernel test-escapes test-oracle test-notebooks test-browser test-vm test-leak
.PHONY: $(TESTS) test-vm-kernel

test: WANTED := browser vm
test: env  ## run all tests; says what was skipped, and why
	@exec $(PY) -m tests.support.lanes

test-style: env  ## the code is as readable as tests/style promises
	$(PYTEST) tests/style

test-unit: env  ## what needs no privileges and no Linux kernel
	$(PYTEST) tests/unit

test-kernel: env  ## every primitive has its real effect
	$(PYTEST) tests/kernel

test-escapes: env  ## every known way out of a container fails
	$(PYTEST) tests/escapes

test-oracle: env  ## other people's tools see the same
	$(PYTEST) tests/oracle

test-notebooks: env  ## every cell of every chapter and solution (nbval)
	$(PYTEST) tests/notebooks

test-browser: WANTED := browser
test-browser: env  ## a real browser runs the chapters
	$(PYTEST) tests/browser

test-vm: WANTED := vm
test-vm: env  ## the lab VM: its ends, and the chapters and kernel tests in it
	$(PYTEST) tests/vm

test-vm-kernel: WANTED := vm
test-vm-kernel: env  ## the tests of the primitives on cgroup v2, in the VM
	$(PYTEST) tests/vm/test_kernel_tests_inside.py

test-leak: env  ## after all that, nothing of ours is left on this machine
	$(PYTEST) tests/leak

# --- For those who work on the lab -----------------------------------------------

bench: env  ## how long a container's start takes, beside unshare and runc
	@$(PY) -m tests.bench

notebooks: env  ## run the chapters again and save their outputs; make the exercises
	@$(PY) -m labkit.course.publish

fresh: WANTED := fresh
fresh: env  ## try make lab and make test on a new machine in a directory (root)
	@$(PY) -m tests.fresh.fresh_machine

clean:  ## remove everything that make made; your own code and progress stay
	rm -rf .venv build dist *.egg-info .*_cache .hypothesis
	find . -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
