# Fuzzing, part of ../Makefile. The core is built upon system.c in place of the system; docs/reliability.md
# says what the targets check.
#
#   make fuzz TIME=60     every target for so many seconds, JOBS=2 at a time; needs clang
#   make check-corpus     every kept input through its target; needs no clang
#   make check-corpus-msan  the same under MemorySanitizer; needs clang
#   make check-memory     memory.c: each allocation fails, one after another; needs no clang
#   make fuzz-minimise    put what `make fuzz` found into fuzz/corpus, without what adds nothing
#
# TARGETS names some of the targets. What a target found is in build/fuzz: work/<target> its inputs,
# <target>.log its figures, findings/ inputs that broke something.

TIME ?= 60
JOBS ?= 2
TARGETS ?= $(patsubst fuzz/%_fuzz.c,%,$(wildcard fuzz/*_fuzz.c))
CLANG ?= $(firstword $(foreach name,clang clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14,\
	$(if $(shell command -v $(name)),$(name))) clang)

ifneq ($(filter fuzz replay msan memory,$(MODE)),)
MODE_FLAGS := -DSBI_USE_POLL -DSBI_SCRATCH_SIZE=512 $(if $(filter msan,$(MODE)),\
	-fsanitize=memory -fsanitize-memory-track-origins -fno-omit-frame-pointer,$(SANITIZE)) \
	$(if $(filter memory,$(MODE)),-DSBI_FAULTS)
FUZZ_CORE := -include fuzz/replace.h $(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer-no-link)
FUZZ_LINK := $(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer)
endif

FUZZ_SHARED := $(filter-out %_fuzz.c fuzz/memory.c $(if $(filter fuzz,$(MODE)),fuzz/replay.c),$(wildcard fuzz/*.c))
FUZZ_OBJECTS := $(patsubst fuzz/%.c,$(DIR)/fuzz/%.o,$(FUZZ_SHARED))
FUZZ_PROGRAMS := $(TARGETS:%=$(DIR)/%_fuzz)

.PHONY: fuzz fuzz-run fuzz-build fuzz-minimise fuzz-merge check-corpus check-corpus-msan replay \
	check-memory memory-run

# What no input is compared with only costs time.
ifeq ($(MODE),fuzz)
$(patsubst %,$(DIR)/%.o,alloc flow inbox loop net outq step): FUZZ_CORE += \
	-fno-sanitize-coverage=trace-cmp
endif

# The core alone is measured for coverage.
$(DIR)/fuzz/%.o: fuzz/%.c $(DIR)/flags
	@mkdir -p $(@D)
	@echo '  CC $@'
	$(Q)$(CC) $(BUILD_FLAGS) -Ifuzz -MMD -MP -c -o $@ $<

$(DIR)/%_fuzz: $(DIR)/fuzz/%_fuzz.o $(FUZZ_OBJECTS) $(OBJECTS)
	@echo '  LD $@'
	$(Q)$(CC) $(BUILD_FLAGS) $(FUZZ_LINK) $(LDFLAGS) -o $@ $^

fuzz-build: $(FUZZ_PROGRAMS)

fuzz:
	$(MAKE) fuzz-run MODE=fuzz CC=$(CLANG)

FUZZ_ONE = mkdir -p $(DIR)/work/$$1 $(DIR)/findings fuzz/corpus/$$1; \
	if $(DIR)/$$1_fuzz -max_total_time=$(TIME) -max_len=$$(case $$1 in wire) echo 8192 ;; bus_script) echo 300 ;; *) echo 1500 ;; esac) -timeout=120 -rss_limit_mb=2048 \
		-dict=fuzz/smartbus.dict -artifact_prefix=$(DIR)/findings/$$1- -print_final_stats=1 \
		$(DIR)/work/$$1 fuzz/corpus/$$1 >$(DIR)/$$1.log 2>&1; \
	then echo "$$1: $$(grep DONE $(DIR)/$$1.log)"; \
	else tail -n 60 $(DIR)/$$1.log; echo "$$1: FOUND SOMETHING, see $(DIR)/findings"; exit 1; fi

fuzz-run: fuzz-build
	@printf '%s\n' $(TARGETS) | xargs -P $(JOBS) -n 1 sh -c '$(FUZZ_ONE)' fuzz

fuzz-minimise:
	$(MAKE) fuzz-merge MODE=fuzz CC=$(CLANG)

# Of what was found those stay that reach code that the kept inputs do not.
fuzz-merge: fuzz-build
	@for target in $(TARGETS); do \
		mkdir -p $(DIR)/work/$$target; printf '%s: ' $$target; \
		$(DIR)/$${target}_fuzz -merge=1 -use_counters=0 fuzz/corpus/$$target $(DIR)/work/$$target \
			2>&1 | tail -n 1; \
	done

replay: fuzz-build
	@for target in $(TARGETS); do \
		printf '%s: ' $$target; $(DIR)/$${target}_fuzz fuzz/corpus/$$target || exit 1; \
	done

$(DIR)/memory: $(DIR)/fuzz/memory.o $(DIR)/fuzz/system.o $(OBJECTS)
	@echo '  LD $@'
	$(Q)$(CC) $(BUILD_FLAGS) $(LDFLAGS) -o $@ $^

memory-run: $(DIR)/memory
	$(RUN) $(DIR)/memory

check-memory:
	$(MAKE) memory-run MODE=memory

check-corpus:
	$(MAKE) replay MODE=replay

check-corpus-msan:
	$(MAKE) replay MODE=msan CC=$(CLANG)

-include $(wildcard $(DIR)/fuzz/*.d)
