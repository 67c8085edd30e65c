# leveretctl: the program is its main function; the rest is a library, so that tests reach it.

noinst_LIBRARIES += src/leveretctl/libleveret_leveretctl.a
src_leveretctl_libleveret_leveretctl_a_SOURCES = \
	src/leveretctl/backup.c \
	src/leveretctl/backup.h \
	src/leveretctl/certificate.c \
	src/leveretctl/certificate.h \
	src/leveretctl/changes.c \
	src/leveretctl/changes.h \
	src/leveretctl/client.c \
	src/leveretctl/client.h \
	src/leveretctl/definitions.c \
	src/leveretctl/definitions.h \
	src/leveretctl/file_copy.c \
	src/leveretctl/file_copy.h \
	src/leveretctl/journal_backup.c \
	src/leveretctl/journal_backup.h \
	src/leveretctl/lists.c \
	src/leveretctl/lists.h \
	src/leveretctl/options.c \
	src/leveretctl/options.h \
	src/leveretctl/tls_command.c \
	src/leveretctl/tls_command.h \
	src/leveretctl/tls_generate.c \
	src/leveretctl/tls_generate.h

bin_PROGRAMS += leveretctl
leveretctl_SOURCES = src/leveretctl/leveretctl.c
leveretctl_LDADD = src/leveretctl/libleveret_leveretctl.a $(STORE_LIBS) $(CRYPTO_LIBS) $(JANSSON_LIBS) $(CURL_LIBS)
