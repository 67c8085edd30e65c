noinst_LIBRARIES += src/server/libleveret_server.a
src_server_libleveret_server_a_SOURCES =
