# The broker under kills, failing disks and too little memory; tests/fault/README.md says more.

check_LIBRARIES += tests/fault/libfault.a
tests_fault_libfault_a_SOURCES = \
	tests/fault/actors.c \
	tests/fault/actors.h \
	tests/fault/bulk.c \
	tests/fault/bulk.h \
	tests/fault/declarer.c \
	tests/fault/declarer.h \
	tests/fault/faults.c \
	tests/fault/faults.h \
	tests/fault/ledger.c \
	tests/fault/ledger.h \
	tests/fault/link.c \
	tests/fault/link.h

FAULT_LIBS = tests/fault/libfault.a $(WIRE_LIBS)

# Loaded into the broker; never itself under a sanitizer.
tests/fault/disk_faults.so: tests/fault/disk_faults.c
	$(AM_V_CCLD)$(MKDIR_P) tests/fault && \
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -fPIC -shared \
		-o $@ $(srcdir)/tests/fault/disk_faults.c -ldl

check_DATA += tests/fault/disk_faults.so
CLEANFILES += tests/fault/disk_faults.so

check_PROGRAMS += tests/fault/test_changes
TESTS += tests/fault/test_changes
tests_fault_test_changes_SOURCES = tests/fault/test_changes.c
tests_fault_test_changes_LDADD = $(FAULT_LIBS)

check_PROGRAMS += tests/fault/test_confirmed_letters
TESTS += tests/fault/test_confirmed_letters
tests_fault_test_confirmed_letters_SOURCES = tests/fault/test_confirmed_letters.c
tests_fault_test_confirmed_letters_LDADD = $(FAULT_LIBS)

check_PROGRAMS += tests/fault/test_definitions
TESTS += tests/fault/test_definitions
tests_fault_test_definitions_SOURCES = tests/fault/test_definitions.c
tests_fault_test_definitions_LDADD = $(FAULT_LIBS)

check_PROGRAMS += tests/fault/test_delayed
TESTS += tests/fault/test_delayed
tests_fault_test_delayed_SOURCES = tests/fault/test_delayed.c
tests_fault_test_delayed_LDADD = $(FAULT_LIBS)

check_PROGRAMS += tests/fault/test_disk
TESTS += tests/fault/test_disk
tests_fault_test_disk_SOURCES = tests/fault/test_disk.c
tests_fault_test_disk_LDADD = $(FAULT_LIBS)

check_PROGRAMS += tests/fault/test_journal_files
TESTS += tests/fault/test_journal_files
tests_fault_test_journal_files_SOURCES = tests/fault/test_journal_files.c
tests_fault_test_journal_files_LDADD = $(FAULT_LIBS)

check_PROGRAMS += tests/fault/test_kill
TESTS += tests/fault/test_kill
tests_fault_test_kill_SOURCES = tests/fault/test_kill.c
tests_fault_test_kill_LDADD = $(FAULT_LIBS)

check_PROGRAMS += tests/fault/test_paging
TESTS += tests/fault/test_paging
tests_fault_test_paging_SOURCES = tests/fault/test_paging.c
tests_fault_test_paging_LDADD = $(FAULT_LIBS)

check_PROGRAMS += tests/fault/test_restart
TESTS += tests/fault/test_restart
tests_fault_test_restart_SOURCES = tests/fault/test_restart.c
tests_fault_test_restart_LDADD = $(FAULT_LIBS)

check_PROGRAMS += tests/fault/test_start
TESTS += tests/fault/test_start
tests_fault_test_start_SOURCES = tests/fault/test_start.c
tests_fault_test_start_LDADD = $(FAULT_LIBS)

EXTRA_DIST += tests/fault/README.md tests/fault/disk_faults.c

# The long form of the tests here.
check-fault: all $(check_PROGRAMS)
	LEVERET_FAULT_ROUNDS=$${LEVERET_FAULT_ROUNDS:-200} tests/fault/test_kill

.PHONY: check-fault
