noinst_LIBRARIES += src/server/libleveret_server.a
src_server_libleveret_server_a_SOURCES = \
	src/server/identity.c \
	src/server/identity.h \
	src/server/listener_tls.c \
	src/server/listener_tls.h \
	src/server/mail.c \
	src/server/mail.h \
	src/server/reload.c \
	src/server/reload.h \
	src/server/server.c \
	src/server/server.h \
	src/server/vhost.c \
	src/server/vhost.h \
	src/server/worker.c \
	src/server/worker.h
