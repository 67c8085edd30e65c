noinst_LIBRARIES += src/admin/libleveret_admin.a
src_admin_libleveret_admin_a_SOURCES = \
	src/admin/admin.c \
	src/admin/admin.h \
	src/admin/api.c \
	src/admin/api.h \
	src/admin/ask.c \
	src/admin/ask.h \
	src/admin/commit.c \
	src/admin/commit.h \
	src/admin/definition_reader.c \
	src/admin/definition_reader.h \
	src/admin/export.c \
	src/admin/http.c \
	src/admin/http.h \
	src/admin/import.c \
	src/admin/import.h \
	src/admin/import_internal.h \
	src/admin/import_queues.c \
	src/admin/import_queues.h \
	src/admin/import_users.c \
	src/admin/json_value.c \
	src/admin/json_value.h \
	src/admin/list_clients.c \
	src/admin/list_policies.c \
	src/admin/list_policies.h \
	src/admin/list_queues.c \
	src/admin/list_topology.c \
	src/admin/list_users.c \
	src/admin/list_users.h \
	src/admin/listing.c \
	src/admin/listing.h \
	src/admin/overview.c
