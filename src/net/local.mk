noinst_LIBRARIES += src/net/libleveret_net.a
src_net_libleveret_net_a_SOURCES =
