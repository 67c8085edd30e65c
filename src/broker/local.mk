noinst_LIBRARIES += src/broker/libleveret_broker.a
src_broker_libleveret_broker_a_SOURCES = \
	src/broker/consumer.c \
	src/broker/credit_pool.c \
	src/broker/credit_pool.h \
	src/broker/dead_letter.c \
	src/broker/dead_letter.h \
	src/broker/effects.c \
	src/broker/effects.h \
	src/broker/entries.c \
	src/broker/entries.h \
	src/broker/message.c \
	src/broker/message.h \
	src/broker/queue.c \
	src/broker/queue.h \
	src/broker/queue_internal.h \
	src/broker/queue_options.c \
	src/broker/queue_options.h \
	src/broker/unacked.c \
	src/broker/unacked.h
