# Tests of the broker as a client sees it; tests/wire/README.md says how they run.

check_LIBRARIES += tests/wire/libwire.a
tests_wire_libwire_a_SOURCES = \
	tests/wire/broker_process.c \
	tests/wire/broker_process.h \
	tests/wire/harness.c \
	tests/wire/harness.h \
	tests/wire/raw.c \
	tests/wire/raw.h

WIRE_LIBS = tests/wire/libwire.a $(RABBITMQ_LIBS) $(CHECK_LIBS)

dist_check_SCRIPTS += tests/wire/oracle

check_PROGRAMS += tests/wire/test_channel_errors
TESTS += tests/wire/test_channel_errors
tests_wire_test_channel_errors_SOURCES = tests/wire/test_channel_errors.c
tests_wire_test_channel_errors_LDADD = $(WIRE_LIBS)

EXTRA_DIST += tests/wire/README.md
