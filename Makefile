# sqlite-ner: named entity recognition inside SQLite.
#
#   make demo     install what is missing, build, and show ner() at work
#   make test     install what is missing, build, and run every test
#   make help     all targets

CC      ?= cc
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wno-unused-parameter
BUILD   ?= build

UNAME := $(shell uname -s)
ifeq ($(UNAME),Darwin)
  EXT     := dylib
  SHARED  := -dynamiclib -undefined dynamic_lookup
  BREW    := $(shell brew --prefix 2>/dev/null)
  CPATHS  := -I$(BREW)/include -I$(BREW)/opt/openblas/include -I$(BREW)/opt/sqlite/include
  LDPATHS := -L$(BREW)/lib -L$(BREW)/opt/openblas/lib -L$(BREW)/opt/sqlite/lib
else
  EXT     := so
  # nodelete: worker threads must never outlive their code. defs: no symbol left undefined,
  # except in a sanitizer's build, whose runtime is preloaded.
  SHARED  := -shared -Wl,-z,nodelete $(if $(SAN),,-Wl,-z,defs)
endif

# SAN=address,undefined or SAN=thread builds with that sanitizer.
NER_CFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) -std=gnu11 -fPIC -fvisibility=hidden -fno-math-errno -ffp-contract=off -pthread $(WARN) -Iinclude -Isrc $(CPATHS)
LIBS := $(LDPATHS) -lutf8proc -lm -pthread

BUNDLED := models/ner-small.safetensors
SRC := sqlite-ner.c $(wildcard src/*/*.c)
OBJ := $(SRC:%.c=$(BUILD)/obj/%.o)
LIB := $(BUILD)/ner.$(EXT)

# V=1 shows the commands.
Q := $(if $(V),,@)

.PHONY: all deps demo test unit bench eval train train-check asan tsan valgrind oom fuzz fuzz-deps
.PHONY: packages packages-test packages-ci packages-deps
.PHONY: lib amalgamation format install clean help
all: $(LIB)

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## deps     install the packages a fresh Debian, Ubuntu or Homebrew machine lacks
DEB := gcc libc6-dev make sqlite3 libsqlite3-dev libopenblas-dev libutf8proc-dev libcmocka-dev pkg-config
deps:
	@sh tests/deps.sh $(DEB)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)echo "cc $<"; $(CC) $(NER_CFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# ner_version() and ner_debug() tell the commit of the source, where there is a repository. Only
# version.o knows it, and is compiled anew when it changes.
COMMIT := $(shell git rev-parse --short=10 HEAD 2>/dev/null)
$(shell mkdir -p $(BUILD); echo '$(COMMIT)' | cmp -s - $(BUILD)/commit || echo '$(COMMIT)' >$(BUILD)/commit)
$(BUILD)/obj/src/base/version.o $(BUILD)/obj-core/src/base/version.o: $(BUILD)/commit
$(BUILD)/obj/src/base/version.o $(BUILD)/obj-core/src/base/version.o: CFLAGS += $(if $(COMMIT),-DNER_COMMIT='"$(COMMIT)"')

# The model's bytes are part of bundled.o (.incbin).
$(BUILD)/obj/src/model/bundled.o: $(BUNDLED)

$(LIB): $(OBJ)
	$(Q)echo "link $@"; $(CC) $(SHARED) $(if $(SAN),-fsanitize=$(SAN)) $(CFLAGS) -o $@ $(OBJ) $(LIBS)

# What a program without extensions links: the same objects as the tests', with SQLite as a library.
ARCHIVE := $(BUILD)/libner.a
PC      := $(BUILD)/ner.pc
VERSION := $(shell sed -n 's/^.define NER_VERSION "\(.*\)"/\1/p' include/ner.h)

## lib      the extension, libner.a for programs, and ner.pc for pkg-config
lib: $(LIB) $(ARCHIVE) $(PC)
PREFIX ?= /usr/local
# Always written anew: PREFIX may be another one than the last time.
.PHONY: $(PC)
$(PC):
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' \
	  'Name: ner' 'Description: named entity recognition, with and without SQLite' \
	  'Version: $(VERSION)' 'Requires: sqlite3, libutf8proc' \
	  'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lner -lm -lpthread -ldl' >$@

## amalgamation  the library as one pair of files: build/sqlite-ner.c and build/ner.h
AMALGAMATION := $(BUILD)/sqlite-ner.c
amalgamation:
	@mkdir -p $(BUILD)
	@sh src/amalgamate.sh "$(COMMIT)" "$$(git log -1 --format=%cs 2>/dev/null)" \
	  "$$(git diff --quiet HEAD 2>/dev/null || echo ' with changes')" >$(AMALGAMATION)
	@cp include/ner.h $(BUNDLED) $(BUILD)/
	@echo "$(AMALGAMATION) $(BUILD)/ner.h, and the bundled model beside them: $(BUILD)/$(notdir $(BUNDLED))"

# Unit tests link the sources themselves, with SQLite as a library.
TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
# The kernels know neither SQLite nor the allocator, and take the longest: compiled once for all.
KERNELS := $(wildcard src/kernels/*.c)
TEST_OBJ := $(patsubst %.c,$(BUILD)/obj-core/%.o,$(filter-out $(KERNELS),$(SRC))) $(KERNELS:%.c=$(BUILD)/obj/%.o)
$(BUILD)/obj-core/%.o: %.c
	@mkdir -p $(@D)
	$(Q)echo "cc $< (for tests)"; $(CC) $(NER_CFLAGS) $(CFLAGS) -DSQLITE_CORE -MMD -MP -c $< -o $@
$(BUILD)/obj-core/src/model/bundled.o: $(BUNDLED)
$(ARCHIVE): $(TEST_OBJ)
	$(Q)echo "archive $@"; rm -f $@; $(AR) rcs $@ $(TEST_OBJ)
$(BUILD)/tests/%: tests/unit/%.c $(TEST_OBJ)
	@mkdir -p $(@D)
	$(Q)echo "cc $<"; $(CC) $(NER_CFLAGS) $(CFLAGS) -DSQLITE_CORE -Itests -MMD -MP $< $(TEST_OBJ) -o $@ -lcmocka -lsqlite3 $(LIBS)

# The out-of-memory test has the library's allocations come to it.
OOM_OBJ := $(patsubst %.c,$(BUILD)/obj-oom/%.o,$(filter-out $(KERNELS),$(SRC))) $(KERNELS:%.c=$(BUILD)/obj/%.o)
TESTS += $(BUILD)/tests/test_oom
$(BUILD)/obj-oom/%.o: %.c
	@mkdir -p $(@D)
	$(Q)echo "cc $< (for test_oom)"; $(CC) $(NER_CFLAGS) $(CFLAGS) -DSQLITE_CORE -DNER_TEST_ALLOC -MMD -MP -c $< -o $@
$(BUILD)/obj-oom/src/model/bundled.o: $(BUNDLED)
$(BUILD)/tests/test_oom: tests/oom.c $(OOM_OBJ)
	@mkdir -p $(@D)
	$(Q)echo "cc $<"; $(CC) $(NER_CFLAGS) $(CFLAGS) -DSQLITE_CORE -DNER_TEST_ALLOC -Itests $< $(OOM_OBJ) -o $@ -lcmocka -lsqlite3 $(LIBS)

# A fuzz target linked with a main() of ours replays the committed corpus.
FUZZ := $(patsubst tests/fuzz/%.c,%,$(filter-out tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c)))
TESTS += $(FUZZ:%=$(BUILD)/tests/fuzz_%)
$(BUILD)/tests/fuzz_%: tests/fuzz/%.c tests/fuzz/replay.c $(TEST_OBJ)
	@mkdir -p $(@D)
	$(Q)echo "cc $<"; $(CC) $(NER_CFLAGS) $(CFLAGS) -DSQLITE_CORE -MMD -MP $< tests/fuzz/replay.c $(TEST_OBJ) -o $@ -lsqlite3 $(LIBS)

# A program that loads the built extension as any other would.
TESTS += $(BUILD)/tests/test_host
$(BUILD)/tests/test_host: tests/host.c $(LIB)
	@mkdir -p $(@D)
	$(Q)echo "cc $<"; $(CC) $(NER_CFLAGS) $(CFLAGS) -MMD -MP $< -o $@ -lcmocka -lsqlite3 -ldl -lm -pthread

## demo     build, and run ner() over a small table of sentences
demo: deps
	@$(MAKE) --no-print-directory $(LIB)
	@sqlite3 -cmd '.load $(BUILD)/ner' < sql/demo.sql

## test     build, and run every test, several at once (JOBS=1: one by one; times in build/test.log)
test: deps
	@$(MAKE) --no-print-directory unit
unit: $(LIB) $(TESTS)
	@BUILD=$(BUILD) PRELOAD="$(PRELOAD)" sh tests/run.sh

## eval     precision, recall and F1 on a CoNLL file: make eval FILE=... [LOAD=path] [MODEL=name]
eval: deps
	@test -n "$(FILE)" || { echo 'eval: no file; say make eval FILE=path/to/file.txt'; exit 1; }
	@test -r "$(FILE)" || { echo 'eval: $(FILE) cannot be read'; exit 1; }
	@$(MAKE) --no-print-directory $(LIB)
	@sqlite3 -bail -cmd '.load $(BUILD)/ner' -cmd '.parameter init' -cmd '.parameter set :file "$(FILE)"' \
	  $(if $(LOAD),-cmd "SELECT ner_load('evaluated', '$(LOAD)') IS NULL AS loaded" -cmd '.parameter set :model evaluated') \
	  $(if $(MODEL),-cmd '.parameter set :model "$(MODEL)"') :memory: < sql/evaluate.sql

## train    fine-tune on a CoNLL file: make train FILE=train.txt VALID=valid.txt [TARGET=file] [OPTIONS='{"epochs":3}']
TARGET_FILE = $(or $(TARGET),$(BUILD)/trained.safetensors)
train: deps
	@test -n "$(FILE)" -a -n "$(VALID)" || { echo 'train: say make train FILE=train.txt VALID=valid.txt'; exit 1; }
	@for f in "$(FILE)" "$(VALID)"; do test -r "$$f" || { echo "train: $$f cannot be read"; exit 1; }; done
	@$(MAKE) --no-print-directory $(LIB)
	@sqlite3 -bail -cmd '.load $(BUILD)/ner' -cmd '.parameter init' -cmd '.parameter set :file "$(FILE)"' \
	  -cmd '.parameter set :valid "$(VALID)"' -cmd '.parameter set :target "$(TARGET_FILE)"' \
	  $(if $(OPTIONS),-cmd ".parameter set :options '$(subst ",\",$(OPTIONS))'") :memory: < sql/train-conll.sql

## train-check  two new types on the bundled model: held out, and the old types before and after (VALID=valid.txt)
train-check: deps
	@$(MAKE) --no-print-directory $(LIB)
	@BUILD=$(BUILD) sh tests/train-check.sh "$(VALID)"

## asan     every test under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
asan: deps
	@$(MAKE) --no-print-directory unit BUILD=$(BUILD)-asan SAN=address,undefined CFLAGS="-O2 -g" \
	  PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)"

## tsan     the tests with threads under ThreadSanitizer
TSAN_TESTS := test_train test_pool test_session test_encoder test_pipeline test_registry test_query test_sql test_threads test_enrich_trouble
tsan: deps
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-tsan SAN=thread CFLAGS="-O2 -g" \
	  $(TSAN_TESTS:%=$(BUILD)-tsan/tests/%)
	@BUILD=$(BUILD)-tsan ONLY="$(TSAN_TESTS)" TSAN_OPTIONS=die_after_fork=0:$(TSAN_OPTIONS) sh tests/run.sh

## valgrind the built extension in the shell and in a C host, under valgrind
valgrind: deps
	@command -v valgrind >/dev/null || sh tests/deps.sh valgrind
	@$(MAKE) --no-print-directory $(LIB) $(BUILD)/tests/test_host
	@BUILD=$(BUILD) LONG=1 sh tests/sh/valgrind.sh

## oom      every SQL function with the n-th allocation failing, and all from it on (NER_OOM=all: every n)
oom: deps
	@$(MAKE) --no-print-directory $(BUILD)/tests/test_oom
	@$(BUILD)/tests/test_oom -v

## fuzz     libFuzzer with ASan and UBSan: make fuzz [TARGET=text] [TIME=60, seconds for each target]
# Clang, whatever CC is. The 512-bit kernels go without: clang 14 takes minutes and gigabytes to
# instrument them, and the fuzzer runs the level below.
TIME ?= 60
FUZZ_CC := clang
FUZZ_SAN := address,undefined,float-cast-overflow
FUZZ_CFLAGS = $(filter-out -fPIC,$(NER_CFLAGS)) -O2 -g -DSQLITE_CORE -DNER_FUZZ -fno-omit-frame-pointer
FUZZ_OBJ := $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(SRC))
.SECONDARY: $(FUZZ_OBJ)
$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)echo "clang $<"; $(FUZZ_CC) $(FUZZ_CFLAGS) $(if $(findstring avx512,$<),,-fsanitize=fuzzer-no-link,$(FUZZ_SAN) -fno-sanitize-recover=all) -MMD -MP -c $< -o $@
$(BUILD)/fuzz/obj/src/model/bundled.o: $(BUNDLED)
$(BUILD)/fuzz/fuzz_%: tests/fuzz/%.c $(FUZZ_OBJ)
	$(Q)echo "clang $<"; $(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer,$(FUZZ_SAN) -fno-sanitize-recover=all -MMD -MP $< $(FUZZ_OBJ) -o $@ -lsqlite3 $(LIBS)

FUZZ_NOW := $(or $(TARGET),$(FUZZ))
fuzz: fuzz-deps
	@for t in $(filter-out $(FUZZ),$(FUZZ_NOW)); do \
	  echo "fuzz: there is no target $$t; say one of: $(FUZZ)"; exit 1; done
	@$(MAKE) --no-print-directory $(FUZZ_NOW:%=$(BUILD)/fuzz/fuzz_%)
	@BUILD=$(BUILD) TIME=$(TIME) FUZZ="$(FUZZ_NOW)" sh tests/run.sh

## fuzz-deps install what make fuzz needs beyond that: clang and its libFuzzer
# Not every system has libFuzzer in a package of its own: it is looked for where it counts.
FUZZ_PROBE := $(BUILD)/fuzz/probe
fuzz-deps: deps
	@mkdir -p $(BUILD)/fuzz
	@command -v $(FUZZ_CC) >/dev/null || sh tests/deps.sh clang
	@echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' >$(FUZZ_PROBE).c
	@$(FUZZ_CC) -w -fsanitize=fuzzer,$(FUZZ_SAN) $(FUZZ_PROBE).c -o $(FUZZ_PROBE) 2>/dev/null || \
	  sh tests/deps.sh libclang-rt-$$($(FUZZ_CC) -dumpversion | cut -d. -f1)-dev

## format   lay the sources out as .clang-format says
format:
	clang-format -i sqlite-ner.c src/*/*.c src/*/*.h include/*.h tests/*.c tests/*.h tests/unit/*.c tests/c/*.c tests/fuzz/*.c tests/fuzz/*.h tests/bench/*.c tests/bench/*.h

## install  copy the extension, library, header and ner.pc: make install PREFIX=/usr/local
install: lib
	install -d "$(DESTDIR)$(PREFIX)/lib/sqlite3" "$(DESTDIR)$(PREFIX)/lib/pkgconfig" "$(DESTDIR)$(PREFIX)/include"
	install -m 755 $(LIB) "$(DESTDIR)$(PREFIX)/lib/sqlite3/"
	install -m 644 $(ARCHIVE) "$(DESTDIR)$(PREFIX)/lib/"
	install -m 644 $(PC) "$(DESTDIR)$(PREFIX)/lib/pkgconfig/"
	install -m 644 include/ner.h "$(DESTDIR)$(PREFIX)/include/"

## bench    tokens per second by precision and shape; with PEERS set, beside onnxruntime
BENCH_OBJ := $(patsubst %.c,$(BUILD)/obj-core/%.o,$(wildcard tests/bench/*.c))
$(BUILD)/bench: $(BENCH_OBJ) $(TEST_OBJ)
	$(Q)echo "link $@"; $(CC) $(CFLAGS) $(BENCH_OBJ) $(TEST_OBJ) -o $@ -lsqlite3 $(LIBS)
bench: deps
	@$(MAKE) --no-print-directory $(BUILD)/bench
	@BUILD=$(BUILD) sh tests/bench/run.sh

## packages  wheels, npm packages, archives, checksums and SBOM for every platform, into dist/
# PACKAGES="x86_64-linux-gnu ..." makes those of some targets.
PACKAGES ?= all
packages: packages-deps
	@sh packages/build.sh $(PACKAGES)
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null)} \
	  $(PYTHON) packages/make $(filter-out all,$(PACKAGES))

## packages-test  install what is in dist/ as users would, in fresh environments, and run it
packages-test:
	@PYTHON=$(PYTHON) sh packages/tests/run.sh

## packages-ci  the native platform's packages, made and tested: what CI has the time for
packages-ci:
	@PYTHON=$(PYTHON) sh packages/tests/ci.sh

## packages-deps  install what the packages need beyond that; cargo (1.68 or newer) has to be there
PYTHON ?= /usr/bin/python3
packages-deps:
	@sh tests/deps.sh python3 python3-venv libsqlite3-dev sqlite3 ca-certificates
	@command -v cargo >/dev/null || { echo 'packages: there is no cargo, which fetches utf8proc; install it (rustup, or apt-get install cargo where it is 1.68 or newer)'; exit 1; }

## clean    remove what was built
clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(filter-out dist/cache,$(wildcard dist/*))

-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(OOM_OBJ:.o=.d) $(TESTS:=.d) $(FUZZ_OBJ:.o=.d) $(FUZZ:%=$(BUILD)/fuzz/fuzz_%.d)
