# leveret-perf: the program is its main function; the rest is a library, so that tests reach it.

noinst_LIBRARIES += src/perf/libleveret_perf.a
src_perf_libleveret_perf_a_SOURCES = \
	src/perf/churn.c \
	src/perf/churn.h \
	src/perf/client.c \
	src/perf/client.h \
	src/perf/consumer.c \
	src/perf/consumer.h \
	src/perf/histogram.c \
	src/perf/histogram.h \
	src/perf/holding.c \
	src/perf/holding.h \
	src/perf/interrupt.c \
	src/perf/interrupt.h \
	src/perf/load.c \
	src/perf/load.h \
	src/perf/loop.c \
	src/perf/loop.h \
	src/perf/option_values.c \
	src/perf/options.c \
	src/perf/options.h \
	src/perf/process.c \
	src/perf/process.h \
	src/perf/producer.c \
	src/perf/producer.h \
	src/perf/report.c \
	src/perf/report.h \
	src/perf/sequence.c \
	src/perf/sequence.h \
	src/perf/slab.c \
	src/perf/slab.h \
	src/perf/tls.c \
	src/perf/tls.h \
	src/perf/topology.c \
	src/perf/topology.h \
	src/perf/worker.c \
	src/perf/worker.h

PERF_LIBS = src/perf/libleveret_perf.a $(AMQP_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) -lm

bin_PROGRAMS += leveret-perf
leveret_perf_SOURCES = src/perf/leveret_perf.c
leveret_perf_LDADD = $(PERF_LIBS) $(ALLOCATOR_LIBS)
