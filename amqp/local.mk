noinst_LIBRARIES += amqp/libleveret_amqp.a
amqp_libleveret_amqp_a_SOURCES =
