# Measurements (make bench), and the tests of what can be counted instead of timed.

EXTRA_PROGRAMS = tests/bench/relay tests/bench/relay_feed tests/bench/sync_floor \
	tests/bench/confirm_floor tests/bench/deadlines tests/bench/logins
CLEANFILES += tests/bench/relay$(EXEEXT) tests/bench/relay_feed$(EXEEXT) \
	tests/bench/sync_floor$(EXEEXT) tests/bench/confirm_floor$(EXEEXT) \
	tests/bench/deadlines$(EXEEXT) tests/bench/logins$(EXEEXT)

tests_bench_relay_SOURCES = tests/bench/relay.c

tests_bench_sync_floor_SOURCES = tests/bench/sync_floor.c

tests_bench_confirm_floor_SOURCES = tests/bench/confirm_floor.c
tests_bench_confirm_floor_LDADD = -lpthread

tests_bench_logins_SOURCES = tests/bench/logins.c
tests_bench_logins_LDADD = -lpthread

tests_bench_deadlines_SOURCES = tests/bench/deadlines.c
tests_bench_deadlines_LDADD = $(RABBITMQ_LIBS)

tests_bench_relay_feed_SOURCES = tests/bench/relay_feed.c
tests_bench_relay_feed_LDADD = $(PERF_LIBS)

# A library to preload; sanitizers have an allocator of their own, which it would be in the way of.
EXTRA_DIST += tests/bench/allocation_counter.c
CLEANFILES += tests/bench/allocation_counter.so

tests/bench/allocation_counter.so: tests/bench/allocation_counter.c
	$(AM_V_CCLD)$(MKDIR_P) tests/bench && \
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -fPIC -fno-builtin -shared \
		-o $@ $(srcdir)/tests/bench/allocation_counter.c -ldl

EXTRA_DIST += tests/bench/slow_sync.c
CLEANFILES += tests/bench/slow_sync.so

tests/bench/slow_sync.so: tests/bench/slow_sync.c
	$(AM_V_CCLD)$(MKDIR_P) tests/bench && \
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -fPIC -shared \
		-o $@ $(srcdir)/tests/bench/slow_sync.c -ldl

if !SANITIZERS
check_DATA += tests/bench/allocation_counter.so
endif

dist_check_SCRIPTS += tests/bench/test_allocations
TESTS += tests/bench/test_allocations

EXTRA_DIST += tests/bench/brokers.py tests/bench/deadlines.py tests/bench/durable.py \
	tests/bench/frames.py tests/bench/logins.py tests/bench/measures.py tests/bench/policies.py \
	tests/bench/queues.py tests/bench/quota.py tests/bench/run tests/bench/tls.py

bench: tests/bench/relay$(EXEEXT) tests/bench/relay_feed$(EXEEXT) \
	tests/bench/sync_floor$(EXEEXT) tests/bench/confirm_floor$(EXEEXT) \
	tests/bench/deadlines$(EXEEXT) tests/bench/logins$(EXEEXT) \
	tests/bench/allocation_counter.so tests/bench/slow_sync.so
