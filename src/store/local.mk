noinst_LIBRARIES += src/store/libleveret_store.a
src_store_libleveret_store_a_SOURCES = \
	src/store/crc32c.c \
	src/store/crc32c.h \
	src/store/data_directory.c \
	src/store/data_directory.h \
	src/store/definitions.c \
	src/store/definitions.h \
	src/store/definitions_backup.c \
	src/store/definitions_ids.c \
	src/store/definitions_ids.h \
	src/store/definitions_internal.h \
	src/store/definitions_read.c \
	src/store/definitions_row.c \
	src/store/definitions_row.h \
	src/store/definitions_schema.c \
	src/store/definitions_schema.h \
	src/store/definitions_sqlite.c \
	src/store/definitions_sqlite.h \
	src/store/definitions_wal.c \
	src/store/definitions_wal.h \
	src/store/definitions_writer.c \
	src/store/definitions_writer.h \
	src/store/file_layer.h \
	src/store/journal.h \
	src/store/recovery.h
