noinst_LIBRARIES += amqp/libleveret_amqp.a
amqp_libleveret_amqp_a_SOURCES = \
	amqp/constants.c \
	amqp/constants.h \
	amqp/error.c \
	amqp/error.h \
	amqp/fields.h \
	amqp/frame.c \
	amqp/frame.h \
	amqp/method.c \
	amqp/method.h \
	amqp/methods.def \
	amqp/properties.c \
	amqp/properties.def \
	amqp/properties.h \
	amqp/protocol_header.h \
	amqp/table.c \
	amqp/table.h \
	amqp/utf8.c \
	amqp/utf8.h \
	amqp/wire.h
