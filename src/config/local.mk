noinst_LIBRARIES += src/config/libleveret_config.a
src_config_libleveret_config_a_SOURCES = \
	src/config/check.c \
	src/config/check.h \
	src/config/config.c \
	src/config/config.h \
	src/config/problems.c \
	src/config/problems.h \
	src/config/schema.c \
	src/config/schema.h \
	src/config/schema_access.c \
	src/config/schema_internal.h \
	src/config/schema_listeners.c \
	src/config/schema_read.c \
	src/config/schema_topology.c \
	src/config/topology_check.c \
	src/config/topology_check.h \
	src/config/user_name.c \
	src/config/user_name.h \
	src/config/yaml_tree.c \
	src/config/yaml_tree.h
