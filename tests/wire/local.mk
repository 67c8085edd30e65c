# Tests of the broker as a client sees it; tests/wire/README.md says how they run.

check_LIBRARIES += tests/wire/libwire.a
tests_wire_libwire_a_SOURCES = \
	tests/wire/broker_process.c \
	tests/wire/broker_process.h \
	tests/wire/harness.c \
	tests/wire/harness.h \
	tests/wire/raw.c \
	tests/wire/raw.h \
	tests/wire/witness.c \
	tests/wire/witness.h

WIRE_LIBS = tests/wire/libwire.a $(RABBITMQ_LIBS) $(CHECK_LIBS)

dist_check_SCRIPTS += tests/wire/oracle

check_PROGRAMS += tests/wire/test_admin
TESTS += tests/wire/test_admin
tests_wire_test_admin_SOURCES = tests/wire/test_admin.c
tests_wire_test_admin_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_admin_limits
TESTS += tests/wire/test_admin_limits
tests_wire_test_admin_limits_SOURCES = tests/wire/test_admin_limits.c
tests_wire_test_admin_limits_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_attacks
TESTS += tests/wire/test_attacks
tests_wire_test_attacks_SOURCES = tests/wire/test_attacks.c tests/wire/tls_client.c \
	tests/wire/tls_client.h tests/wire/tls_files.c tests/wire/tls_files.h
tests_wire_test_attacks_LDADD = $(WIRE_LIBS) src/leveretctl/libleveret_leveretctl.a $(BASE_LIBS) \
	$(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/wire/test_administration
TESTS += tests/wire/test_administration
tests_wire_test_administration_SOURCES = tests/wire/test_administration.c
tests_wire_test_administration_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_alarms
TESTS += tests/wire/test_alarms
tests_wire_test_alarms_SOURCES = tests/wire/test_alarms.c
tests_wire_test_alarms_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_backpressure
TESTS += tests/wire/test_backpressure
tests_wire_test_backpressure_SOURCES = tests/wire/test_backpressure.c
tests_wire_test_backpressure_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_channel_errors
TESTS += tests/wire/test_channel_errors
tests_wire_test_channel_errors_SOURCES = tests/wire/test_channel_errors.c
tests_wire_test_channel_errors_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_channels
TESTS += tests/wire/test_channels
tests_wire_test_channels_SOURCES = tests/wire/test_channels.c
tests_wire_test_channels_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_combinations
TESTS += tests/wire/test_combinations
tests_wire_test_combinations_SOURCES = tests/wire/test_combinations.c
tests_wire_test_combinations_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_confirmed_letters
TESTS += tests/wire/test_confirmed_letters
tests_wire_test_confirmed_letters_SOURCES = tests/wire/test_confirmed_letters.c
tests_wire_test_confirmed_letters_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_confirms
TESTS += tests/wire/test_confirms
tests_wire_test_confirms_SOURCES = tests/wire/test_confirms.c
tests_wire_test_confirms_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_connection_errors
TESTS += tests/wire/test_connection_errors
tests_wire_test_connection_errors_SOURCES = tests/wire/test_connection_errors.c
tests_wire_test_connection_errors_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_consume
TESTS += tests/wire/test_consume
tests_wire_test_consume_SOURCES = tests/wire/test_consume.c
tests_wire_test_consume_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_dead_letters
TESTS += tests/wire/test_dead_letters
tests_wire_test_dead_letters_SOURCES = tests/wire/test_dead_letters.c
tests_wire_test_dead_letters_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_delayed
TESTS += tests/wire/test_delayed
tests_wire_test_delayed_SOURCES = tests/wire/test_delayed.c
tests_wire_test_delayed_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_exchanges
TESTS += tests/wire/test_exchanges
tests_wire_test_exchanges_SOURCES = tests/wire/test_exchanges.c
tests_wire_test_exchanges_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_expiry
TESTS += tests/wire/test_expiry
tests_wire_test_expiry_SOURCES = tests/wire/test_expiry.c
tests_wire_test_expiry_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_half_open
TESTS += tests/wire/test_half_open
tests_wire_test_half_open_SOURCES = tests/wire/test_half_open.c tests/wire/tls_client.c \
	tests/wire/tls_client.h tests/wire/tls_files.c tests/wire/tls_files.h
tests_wire_test_half_open_LDADD = $(WIRE_LIBS) src/leveretctl/libleveret_leveretctl.a $(BASE_LIBS) \
	$(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/wire/test_handshake
TESTS += tests/wire/test_handshake
tests_wire_test_handshake_SOURCES = tests/wire/test_handshake.c
tests_wire_test_handshake_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_external
TESTS += tests/wire/test_external
tests_wire_test_external_SOURCES = tests/wire/test_external.c tests/wire/tls_client.c \
	tests/wire/tls_client.h tests/wire/tls_files.c tests/wire/tls_files.h
tests_wire_test_external_LDADD = $(WIRE_LIBS) src/leveretctl/libleveret_leveretctl.a $(BASE_LIBS) \
	$(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/wire/test_hash_exchanges
TESTS += tests/wire/test_hash_exchanges
tests_wire_test_hash_exchanges_SOURCES = tests/wire/test_hash_exchanges.c
tests_wire_test_hash_exchanges_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_lease
TESTS += tests/wire/test_lease
tests_wire_test_lease_SOURCES = tests/wire/test_lease.c
tests_wire_test_lease_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_import
TESTS += tests/wire/test_import
tests_wire_test_import_SOURCES = tests/wire/test_import.c
tests_wire_test_import_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_lifecycle
TESTS += tests/wire/test_lifecycle
tests_wire_test_lifecycle_SOURCES = tests/wire/test_lifecycle.c
tests_wire_test_lifecycle_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_limits
TESTS += tests/wire/test_limits
tests_wire_test_limits_SOURCES = tests/wire/test_limits.c
tests_wire_test_limits_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_mechanisms
TESTS += tests/wire/test_mechanisms
tests_wire_test_mechanisms_SOURCES = tests/wire/test_mechanisms.c
tests_wire_test_mechanisms_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_mutations
TESTS += tests/wire/test_mutations
tests_wire_test_mutations_SOURCES = tests/wire/test_mutations.c
tests_wire_test_mutations_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_permissions
TESTS += tests/wire/test_permissions
tests_wire_test_permissions_SOURCES = tests/wire/test_permissions.c
tests_wire_test_permissions_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_policies
TESTS += tests/wire/test_policies
tests_wire_test_policies_SOURCES = tests/wire/test_policies.c
tests_wire_test_policies_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_priorities
TESTS += tests/wire/test_priorities
tests_wire_test_priorities_SOURCES = tests/wire/test_priorities.c
tests_wire_test_priorities_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_publish
TESTS += tests/wire/test_publish
tests_wire_test_publish_SOURCES = tests/wire/test_publish.c
tests_wire_test_publish_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_queue_rules
TESTS += tests/wire/test_queue_rules
tests_wire_test_queue_rules_SOURCES = tests/wire/test_queue_rules.c
tests_wire_test_queue_rules_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_queues
TESTS += tests/wire/test_queues
tests_wire_test_queues_SOURCES = tests/wire/test_queues.c
tests_wire_test_queues_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_reply_to
TESTS += tests/wire/test_reply_to
tests_wire_test_reply_to_SOURCES = tests/wire/test_reply_to.c
tests_wire_test_reply_to_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_routing
TESTS += tests/wire/test_routing
tests_wire_test_routing_SOURCES = tests/wire/test_routing.c
tests_wire_test_routing_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_secrets
TESTS += tests/wire/test_secrets
tests_wire_test_secrets_SOURCES = tests/wire/test_secrets.c tests/wire/tls_files.c \
	tests/wire/tls_files.h
tests_wire_test_secrets_LDADD = $(WIRE_LIBS) src/leveretctl/libleveret_leveretctl.a $(BASE_LIBS) \
	$(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/wire/test_settle
TESTS += tests/wire/test_settle
tests_wire_test_settle_SOURCES = tests/wire/test_settle.c
tests_wire_test_settle_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_handshake_lines
TESTS += tests/wire/test_handshake_lines
tests_wire_test_handshake_lines_SOURCES = tests/wire/test_handshake_lines.c \
	tests/wire/tls_files.c tests/wire/tls_files.h
tests_wire_test_handshake_lines_LDADD = $(WIRE_LIBS) src/leveretctl/libleveret_leveretctl.a \
	$(BASE_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/wire/test_stress
TESTS += tests/wire/test_stress
tests_wire_test_stress_SOURCES = tests/wire/test_stress.c
tests_wire_test_stress_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_topic_permissions
TESTS += tests/wire/test_topic_permissions
tests_wire_test_topic_permissions_SOURCES = tests/wire/test_topic_permissions.c
tests_wire_test_topic_permissions_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_unix_socket
TESTS += tests/wire/test_unix_socket
tests_wire_test_unix_socket_SOURCES = tests/wire/test_unix_socket.c tests/wire/tls_client.c \
	tests/wire/tls_client.h tests/wire/tls_files.c tests/wire/tls_files.h
tests_wire_test_unix_socket_LDADD = $(WIRE_LIBS) src/leveretctl/libleveret_leveretctl.a \
	$(BASE_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/wire/test_user
TESTS += tests/wire/test_user
tests_wire_test_user_SOURCES = tests/wire/test_user.c tests/wire/tls_files.c \
	tests/wire/tls_files.h
tests_wire_test_user_LDADD = $(WIRE_LIBS) src/leveretctl/libleveret_leveretctl.a $(BASE_LIBS) \
	$(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/wire/test_visibility
TESTS += tests/wire/test_visibility
tests_wire_test_visibility_SOURCES = tests/wire/test_visibility.c
tests_wire_test_visibility_LDADD = $(WIRE_LIBS)

check_PROGRAMS += tests/wire/test_proxy
TESTS += tests/wire/test_proxy
tests_wire_test_proxy_SOURCES = tests/wire/test_proxy.c tests/wire/tls_client.c \
	tests/wire/tls_client.h tests/wire/tls_files.c tests/wire/tls_files.h
tests_wire_test_proxy_LDADD = $(WIRE_LIBS) src/leveretctl/libleveret_leveretctl.a $(BASE_LIBS) \
	$(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/wire/test_tls
TESTS += tests/wire/test_tls
tests_wire_test_tls_SOURCES = tests/wire/test_tls.c tests/wire/tls_client.c \
	tests/wire/tls_client.h tests/wire/tls_files.c tests/wire/tls_files.h
tests_wire_test_tls_LDADD = $(WIRE_LIBS) src/leveretctl/libleveret_leveretctl.a $(BASE_LIBS) \
	$(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/wire/test_workers
TESTS += tests/wire/test_workers
tests_wire_test_workers_SOURCES = tests/wire/test_workers.c
tests_wire_test_workers_LDADD = $(WIRE_LIBS)

EXTRA_DIST += tests/wire/README.md
