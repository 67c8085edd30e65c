noinst_LIBRARIES += src/net/libleveret_net.a
src_net_libleveret_net_a_SOURCES = \
	src/net/listener.c \
	src/net/listener.h \
	src/net/network.c \
	src/net/network.h \
	src/net/proxy_header.c \
	src/net/proxy_header.h \
	src/net/reactor.c \
	src/net/reactor.h \
	src/net/stream.c \
	src/net/stream.h \
	src/net/timer_wheel.c \
	src/net/timer_wheel.h \
	src/net/tls.h \
	src/net/tls_context.c \
	src/net/tls_context.h \
	src/net/tls_expiry.c \
	src/net/tls_expiry.h \
	src/net/tls_peer.c \
	src/net/tls_stream.c \
	src/net/tls_stream.h \
	src/net/tls_tickets.c \
	src/net/tls_tickets.h
