# One program a module: tests/unit/test_queue.c mirrors src/broker/queue.c.

check_PROGRAMS += tests/unit/test_amqp_error
TESTS += tests/unit/test_amqp_error
tests_unit_test_amqp_error_SOURCES = tests/unit/test_amqp_error.c tests/unit/amqp_helpers.c \
	tests/unit/amqp_helpers.h tests/unit/unit.h
tests_unit_test_amqp_error_LDADD = $(AMQP_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_amqp_frame
TESTS += tests/unit/test_amqp_frame
tests_unit_test_amqp_frame_SOURCES = tests/unit/test_amqp_frame.c tests/unit/amqp_helpers.c \
	tests/unit/amqp_helpers.h tests/unit/unit.h
tests_unit_test_amqp_frame_LDADD = $(AMQP_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_amqp_method
TESTS += tests/unit/test_amqp_method
tests_unit_test_amqp_method_SOURCES = tests/unit/test_amqp_method.c tests/unit/amqp_helpers.c \
	tests/unit/amqp_helpers.h tests/unit/unit.h
tests_unit_test_amqp_method_LDADD = $(AMQP_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_amqp_properties
TESTS += tests/unit/test_amqp_properties
tests_unit_test_amqp_properties_SOURCES = tests/unit/test_amqp_properties.c tests/unit/amqp_helpers.c \
	tests/unit/amqp_helpers.h tests/unit/unit.h
tests_unit_test_amqp_properties_LDADD = $(AMQP_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_amqp_table
TESTS += tests/unit/test_amqp_table
tests_unit_test_amqp_table_SOURCES = tests/unit/test_amqp_table.c tests/unit/amqp_helpers.c \
	tests/unit/amqp_helpers.h tests/unit/unit.h
tests_unit_test_amqp_table_LDADD = $(AMQP_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_arena
TESTS += tests/unit/test_arena
tests_unit_test_arena_SOURCES = tests/unit/test_arena.c
tests_unit_test_arena_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_buffer
TESTS += tests/unit/test_buffer
tests_unit_test_buffer_SOURCES = tests/unit/test_buffer.c
tests_unit_test_buffer_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_bytes
TESTS += tests/unit/test_bytes
tests_unit_test_bytes_SOURCES = tests/unit/test_bytes.c
tests_unit_test_bytes_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_hash_map
TESTS += tests/unit/test_hash_map
tests_unit_test_hash_map_SOURCES = tests/unit/test_hash_map.c
tests_unit_test_hash_map_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_list
TESTS += tests/unit/test_list
tests_unit_test_list_SOURCES = tests/unit/test_list.c
tests_unit_test_list_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_log
TESTS += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_perf_histogram
TESTS += tests/unit/test_perf_histogram
tests_unit_test_perf_histogram_SOURCES = tests/unit/test_perf_histogram.c
tests_unit_test_perf_histogram_LDADD = $(PERF_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_perf_options
TESTS += tests/unit/test_perf_options
tests_unit_test_perf_options_SOURCES = tests/unit/test_perf_options.c
tests_unit_test_perf_options_LDADD = $(PERF_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_perf_sequence
TESTS += tests/unit/test_perf_sequence
tests_unit_test_perf_sequence_SOURCES = tests/unit/test_perf_sequence.c
tests_unit_test_perf_sequence_LDADD = $(PERF_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_perf_slab
TESTS += tests/unit/test_perf_slab
tests_unit_test_perf_slab_SOURCES = tests/unit/test_perf_slab.c
tests_unit_test_perf_slab_LDADD = $(PERF_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_random
TESTS += tests/unit/test_random
tests_unit_test_random_SOURCES = tests/unit/test_random.c
tests_unit_test_random_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_table
TESTS += tests/unit/test_table
tests_unit_test_table_SOURCES = tests/unit/test_table.c
tests_unit_test_table_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

TESTS += tests/unit/test_check_layers
dist_check_SCRIPTS += tests/unit/test_check_layers
