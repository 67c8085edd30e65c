bin_PROGRAMS += leveretd
leveretd_SOURCES = src/leveretd.c
leveretd_LDADD = $(SESSION_LIBS) $(ALLOCATOR_LIBS)
