noinst_LIBRARIES += src/broker/libleveret_broker.a
src_broker_libleveret_broker_a_SOURCES =
