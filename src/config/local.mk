noinst_LIBRARIES += src/config/libleveret_config.a
src_config_libleveret_config_a_SOURCES =
