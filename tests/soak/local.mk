# Half an hour of everything at once (make soak), and the test of its judge.

dist_check_SCRIPTS += tests/soak/test_watch
TESTS += tests/soak/test_watch

EXTRA_DIST += tests/soak/leak.c tests/soak/ledger.py tests/soak/roles.py tests/soak/run \
	tests/soak/watch.py
CLEANFILES += tests/soak/leak.so

tests/soak/leak.so: tests/soak/leak.c
	$(AM_V_CCLD)$(MKDIR_P) tests/soak && \
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -fPIC -shared \
		-o $@ $(srcdir)/tests/soak/leak.c

# SOAK_SECONDS=120 for a short one; options of tests/soak/run in SOAK_OPTIONS.
soak: all tests/soak/leak.so
	$(top_srcdir)/tests/soak/run --build $(abs_top_builddir) $(SOAK_OPTIONS)

.PHONY: soak
