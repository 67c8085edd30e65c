noinst_LIBRARIES += src/auth/libleveret_auth.a
src_auth_libleveret_auth_a_SOURCES = \
	src/auth/accounts.c \
	src/auth/accounts.h \
	src/auth/base64.c \
	src/auth/base64.h \
	src/auth/login.c \
	src/auth/login.h \
	src/auth/login_backoff.c \
	src/auth/login_backoff.h \
	src/auth/password.c \
	src/auth/password.h \
	src/auth/permissions.c \
	src/auth/permissions.h \
	src/auth/sasl.c \
	src/auth/sasl.h \
	src/auth/topic_permissions.c \
	src/auth/topic_permissions.h \
	src/auth/user.c \
	src/auth/user.h \
	src/auth/users.c \
	src/auth/users.h \
	src/auth/users_config.c \
	src/auth/verified.c \
	src/auth/verified.h
