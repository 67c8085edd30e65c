noinst_LIBRARIES += src/admin/libleveret_admin.a
src_admin_libleveret_admin_a_SOURCES = \
	src/admin/admin.c \
	src/admin/admin.h \
	src/admin/api.c \
	src/admin/api.h \
	src/admin/ask.c \
	src/admin/ask.h \
	src/admin/http.c \
	src/admin/http.h \
	src/admin/json_value.c \
	src/admin/json_value.h \
	src/admin/list_clients.c \
	src/admin/list_queues.c \
	src/admin/list_topology.c \
	src/admin/listing.c \
	src/admin/listing.h \
	src/admin/overview.c
