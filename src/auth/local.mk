noinst_LIBRARIES += src/auth/libleveret_auth.a
src_auth_libleveret_auth_a_SOURCES =
