noinst_LIBRARIES += src/session/libleveret_session.a
src_session_libleveret_session_a_SOURCES =
