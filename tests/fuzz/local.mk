# Fuzz targets: tests/fuzz/fuzz_NAME.c with its corpus in tests/fuzz/corpus/NAME/. Each is a
# normal test over its corpus, and with --enable-fuzzers (make fuzz) a libFuzzer program:
#
#     FUZZ_TARGETS += tests/fuzz/fuzz_frame
#     tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz_frame.c
#     tests_fuzz_fuzz_frame_LDADD = $(FUZZ_MAIN) $(AMQP_LIBS)
#     tests_fuzz_fuzz_frame_LDFLAGS = $(FUZZ_LINK)

check_LIBRARIES += tests/fuzz/libcorpus_main.a
tests_fuzz_libcorpus_main_a_SOURCES = tests/fuzz/corpus_main.c

if FUZZERS
FUZZ_MAIN =
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
else
FUZZ_MAIN = tests/fuzz/libcorpus_main.a
FUZZ_LINK = $(AM_LDFLAGS)
endif

FUZZ_TARGETS =

FUZZ_TARGETS += tests/fuzz/fuzz_definitions
tests_fuzz_fuzz_definitions_SOURCES = tests/fuzz/fuzz_definitions.c
tests_fuzz_fuzz_definitions_LDADD = $(FUZZ_MAIN) $(ADMIN_LIBS)
tests_fuzz_fuzz_definitions_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_frame
tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz_frame.c
tests_fuzz_fuzz_frame_LDADD = $(FUZZ_MAIN) $(AMQP_LIBS)
tests_fuzz_fuzz_frame_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_proxy
tests_fuzz_fuzz_proxy_SOURCES = tests/fuzz/fuzz_proxy.c
tests_fuzz_fuzz_proxy_LDADD = $(FUZZ_MAIN) $(NET_LIBS)
tests_fuzz_fuzz_proxy_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_sasl
tests_fuzz_fuzz_sasl_SOURCES = tests/fuzz/fuzz_sasl.c
tests_fuzz_fuzz_sasl_LDADD = $(FUZZ_MAIN) $(AUTH_TEST_LIBS)
tests_fuzz_fuzz_sasl_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_segment
tests_fuzz_fuzz_segment_SOURCES = tests/fuzz/fuzz_segment.c
tests_fuzz_fuzz_segment_LDADD = $(FUZZ_MAIN) $(STORE_LIBS)
tests_fuzz_fuzz_segment_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_session
tests_fuzz_fuzz_session_SOURCES = tests/fuzz/fuzz_session.c
tests_fuzz_fuzz_session_LDADD = $(FUZZ_MAIN) $(SESSION_LIBS)
tests_fuzz_fuzz_session_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_table
tests_fuzz_fuzz_table_SOURCES = tests/fuzz/fuzz_table.c
tests_fuzz_fuzz_table_LDADD = $(FUZZ_MAIN) $(AMQP_LIBS)
tests_fuzz_fuzz_table_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_yaml
tests_fuzz_fuzz_yaml_SOURCES = tests/fuzz/fuzz_yaml.c
tests_fuzz_fuzz_yaml_LDADD = $(FUZZ_MAIN) $(AUTH_TEST_LIBS)
tests_fuzz_fuzz_yaml_LDFLAGS = $(FUZZ_LINK)

EXTRA_DIST += tests/fuzz/corpus

check_PROGRAMS += $(FUZZ_TARGETS)
TESTS += $(FUZZ_TARGETS)
