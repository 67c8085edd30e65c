bin_PROGRAMS += leveretd
leveretd_SOURCES = src/leveretd.c
leveretd_LDADD = $(ADMIN_LIBS) $(ALLOCATOR_LIBS)
