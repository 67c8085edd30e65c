noinst_LIBRARIES += src/base/libleveret_base.a
src_base_libleveret_base_a_SOURCES = \
	src/base/arena.c \
	src/base/arena.h \
	src/base/bits.h \
	src/base/buffer.c \
	src/base/buffer.h \
	src/base/bytes.c \
	src/base/bytes.h \
	src/base/clock.c \
	src/base/clock.h \
	src/base/hash_map.c \
	src/base/hash_map.h \
	src/base/list.h \
	src/base/log.c \
	src/base/log.h \
	src/base/memory.c \
	src/base/memory.h \
	src/base/pattern.c \
	src/base/pattern.h \
	src/base/random.c \
	src/base/random.h \
	src/base/region_lists.c \
	src/base/region_lists.h \
	src/base/run_pool.c \
	src/base/run_pool.h \
	src/base/secret.c \
	src/base/secret.h \
	src/base/slab.c \
	src/base/slab.h \
	src/base/slab_pool.c \
	src/base/slab_pool.h \
	src/base/system_memory.c \
	src/base/system_memory.h \
	src/base/table.c \
	src/base/table.h \
	src/base/yield_timer.c \
	src/base/yield_timer.h
