# One program a module: tests/unit/test_queue.c mirrors src/broker/queue.c.

check_PROGRAMS += tests/unit/test_amqp_error
TESTS += tests/unit/test_amqp_error
tests_unit_test_amqp_error_SOURCES = tests/unit/test_amqp_error.c tests/unit/amqp_helpers.c \
	tests/unit/amqp_helpers.h tests/unit/unit.h
tests_unit_test_amqp_error_LDADD = $(AMQP_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_amqp_frame
TESTS += tests/unit/test_amqp_frame
tests_unit_test_amqp_frame_SOURCES = tests/unit/test_amqp_frame.c tests/unit/amqp_helpers.c \
	tests/unit/amqp_helpers.h tests/unit/unit.h
tests_unit_test_amqp_frame_LDADD = $(AMQP_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_amqp_method
TESTS += tests/unit/test_amqp_method
tests_unit_test_amqp_method_SOURCES = tests/unit/test_amqp_method.c tests/unit/amqp_helpers.c \
	tests/unit/amqp_helpers.h tests/unit/unit.h
tests_unit_test_amqp_method_LDADD = $(AMQP_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_amqp_properties
TESTS += tests/unit/test_amqp_properties
tests_unit_test_amqp_properties_SOURCES = tests/unit/test_amqp_properties.c tests/unit/amqp_helpers.c \
	tests/unit/amqp_helpers.h tests/unit/unit.h
tests_unit_test_amqp_properties_LDADD = $(AMQP_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_amqp_table
TESTS += tests/unit/test_amqp_table
tests_unit_test_amqp_table_SOURCES = tests/unit/test_amqp_table.c tests/unit/amqp_helpers.c \
	tests/unit/amqp_helpers.h tests/unit/unit.h
tests_unit_test_amqp_table_LDADD = $(AMQP_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_arena
TESTS += tests/unit/test_arena
tests_unit_test_arena_SOURCES = tests/unit/test_arena.c
tests_unit_test_arena_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

AUTH_TEST_LIBS = src/auth/libleveret_auth.a src/config/libleveret_config.a \
	src/net/libleveret_net.a \
	src/broker/libleveret_broker.a $(AMQP_LIBS) $(YAML_LIBS) $(CRYPTO_LIBS) $(PCRE2_LIBS)

check_PROGRAMS += tests/unit/test_auth_login
TESTS += tests/unit/test_auth_login
tests_unit_test_auth_login_SOURCES = tests/unit/test_auth_login.c
tests_unit_test_auth_login_LDADD = $(AUTH_TEST_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_auth_login_backoff
TESTS += tests/unit/test_auth_login_backoff
tests_unit_test_auth_login_backoff_SOURCES = tests/unit/test_auth_login_backoff.c
tests_unit_test_auth_login_backoff_LDADD = $(AUTH_TEST_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_auth_password
TESTS += tests/unit/test_auth_password
tests_unit_test_auth_password_SOURCES = tests/unit/test_auth_password.c
tests_unit_test_auth_password_LDADD = $(AUTH_TEST_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_auth_permissions
TESTS += tests/unit/test_auth_permissions
tests_unit_test_auth_permissions_SOURCES = tests/unit/test_auth_permissions.c
tests_unit_test_auth_permissions_LDADD = $(AUTH_TEST_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_auth_sasl
TESTS += tests/unit/test_auth_sasl
tests_unit_test_auth_sasl_SOURCES = tests/unit/test_auth_sasl.c
tests_unit_test_auth_sasl_LDADD = $(AUTH_TEST_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_auth_users
TESTS += tests/unit/test_auth_users
tests_unit_test_auth_users_SOURCES = tests/unit/test_auth_users.c
tests_unit_test_auth_users_LDADD = $(AUTH_TEST_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_broker_policies
TESTS += tests/unit/test_broker_policies
tests_unit_test_broker_policies_SOURCES = tests/unit/test_broker_policies.c \
	tests/unit/broker_helpers.c tests/unit/broker_helpers.h \
	tests/unit/store_helpers.c tests/unit/store_helpers.h
tests_unit_test_broker_policies_LDADD = $(SESSION_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_broker_users
TESTS += tests/unit/test_broker_users
tests_unit_test_broker_users_SOURCES = tests/unit/test_broker_users.c \
	tests/unit/broker_helpers.c tests/unit/broker_helpers.h \
	tests/unit/store_helpers.c tests/unit/store_helpers.h
tests_unit_test_broker_users_LDADD = $(SESSION_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_buffer
TESTS += tests/unit/test_buffer
tests_unit_test_buffer_SOURCES = tests/unit/test_buffer.c
tests_unit_test_buffer_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_bytes
TESTS += tests/unit/test_bytes
tests_unit_test_bytes_SOURCES = tests/unit/test_bytes.c
tests_unit_test_bytes_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_config
TESTS += tests/unit/test_config
tests_unit_test_config_SOURCES = tests/unit/test_config.c
tests_unit_test_config_LDADD = $(CONFIG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_config_documentation
TESTS += tests/unit/test_config_documentation
tests_unit_test_config_documentation_SOURCES = tests/unit/test_config_documentation.c
tests_unit_test_config_documentation_LDADD = $(CONFIG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_config_yaml_tree
TESTS += tests/unit/test_config_yaml_tree
tests_unit_test_config_yaml_tree_SOURCES = tests/unit/test_config_yaml_tree.c
tests_unit_test_config_yaml_tree_LDADD = $(CONFIG_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_confirms
TESTS += tests/unit/test_confirms
tests_unit_test_confirms_SOURCES = tests/unit/test_confirms.c
tests_unit_test_confirms_LDADD = $(SESSION_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_shared_bodies
TESTS += tests/unit/test_shared_bodies
tests_unit_test_shared_bodies_SOURCES = tests/unit/test_shared_bodies.c
tests_unit_test_shared_bodies_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_crc32c
TESTS += tests/unit/test_crc32c
tests_unit_test_crc32c_SOURCES = tests/unit/test_crc32c.c
tests_unit_test_crc32c_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_consumer_watch
TESTS += tests/unit/test_consumer_watch
tests_unit_test_consumer_watch_SOURCES = tests/unit/test_consumer_watch.c \
	tests/unit/queue_helpers.c tests/unit/queue_helpers.h
tests_unit_test_consumer_watch_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_credit_pool
TESTS += tests/unit/test_credit_pool
tests_unit_test_credit_pool_SOURCES = tests/unit/test_credit_pool.c
tests_unit_test_credit_pool_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_data_directory
TESTS += tests/unit/test_data_directory
tests_unit_test_data_directory_SOURCES = tests/unit/test_data_directory.c \
	tests/unit/store_helpers.c tests/unit/store_helpers.h
tests_unit_test_data_directory_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_dead_letter
TESTS += tests/unit/test_dead_letter
tests_unit_test_dead_letter_SOURCES = tests/unit/test_dead_letter.c
tests_unit_test_dead_letter_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_definition_reader
TESTS += tests/unit/test_definition_reader
tests_unit_test_definition_reader_SOURCES = tests/unit/test_definition_reader.c
tests_unit_test_definition_reader_LDADD = $(ADMIN_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_definitions
TESTS += tests/unit/test_definitions
tests_unit_test_definitions_SOURCES = tests/unit/test_definitions.c \
	tests/unit/store_helpers.c tests/unit/store_helpers.h
tests_unit_test_definitions_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_definitions_corruption
TESTS += tests/unit/test_definitions_corruption
tests_unit_test_definitions_corruption_SOURCES = tests/unit/test_definitions_corruption.c \
	tests/unit/store_helpers.c tests/unit/store_helpers.h
tests_unit_test_definitions_corruption_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_definitions_failures
TESTS += tests/unit/test_definitions_failures
tests_unit_test_definitions_failures_SOURCES = tests/unit/test_definitions_failures.c \
	tests/unit/store_helpers.c tests/unit/store_helpers.h
tests_unit_test_definitions_failures_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_delay
TESTS += tests/unit/test_delay
tests_unit_test_delay_SOURCES = tests/unit/test_delay.c
tests_unit_test_delay_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_delivery_tags
TESTS += tests/unit/test_delivery_tags
tests_unit_test_delivery_tags_SOURCES = tests/unit/test_delivery_tags.c
tests_unit_test_delivery_tags_LDADD = $(SESSION_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_entries
TESTS += tests/unit/test_entries
tests_unit_test_entries_SOURCES = tests/unit/test_entries.c
tests_unit_test_entries_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_entry_list
TESTS += tests/unit/test_entry_list
tests_unit_test_entry_list_SOURCES = tests/unit/test_entry_list.c
tests_unit_test_entry_list_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_erlang_hash
TESTS += tests/unit/test_erlang_hash
tests_unit_test_erlang_hash_SOURCES = tests/unit/test_erlang_hash.c
tests_unit_test_erlang_hash_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_exchange_choice
TESTS += tests/unit/test_exchange_choice
tests_unit_test_exchange_choice_SOURCES = tests/unit/test_exchange_choice.c \
	tests/unit/topology_helpers.c tests/unit/topology_helpers.h
tests_unit_test_exchange_choice_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_exchange_delayed
TESTS += tests/unit/test_exchange_delayed
tests_unit_test_exchange_delayed_SOURCES = tests/unit/test_exchange_delayed.c \
	tests/unit/topology_helpers.c tests/unit/topology_helpers.h
tests_unit_test_exchange_delayed_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_exchange_direct
TESTS += tests/unit/test_exchange_direct
tests_unit_test_exchange_direct_SOURCES = tests/unit/test_exchange_direct.c \
	tests/unit/topology_helpers.c tests/unit/topology_helpers.h
tests_unit_test_exchange_direct_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_exchange_headers
TESTS += tests/unit/test_exchange_headers
tests_unit_test_exchange_headers_SOURCES = tests/unit/test_exchange_headers.c \
	tests/unit/topology_helpers.c tests/unit/topology_helpers.h
tests_unit_test_exchange_headers_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_delivery_ages
TESTS += tests/unit/test_delivery_ages
tests_unit_test_delivery_ages_SOURCES = tests/unit/test_delivery_ages.c
tests_unit_test_delivery_ages_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_delivery_deadlines
TESTS += tests/unit/test_delivery_deadlines
tests_unit_test_delivery_deadlines_SOURCES = tests/unit/test_delivery_deadlines.c
tests_unit_test_delivery_deadlines_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_expiry
TESTS += tests/unit/test_expiry
tests_unit_test_expiry_SOURCES = tests/unit/test_expiry.c
tests_unit_test_expiry_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_exchange_topic
TESTS += tests/unit/test_exchange_topic
tests_unit_test_exchange_topic_SOURCES = tests/unit/test_exchange_topic.c \
	tests/unit/topology_helpers.c tests/unit/topology_helpers.h
tests_unit_test_exchange_topic_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_hash_map
TESTS += tests/unit/test_hash_map
tests_unit_test_hash_map_SOURCES = tests/unit/test_hash_map.c
tests_unit_test_hash_map_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

JOURNAL_TEST_SOURCES = tests/unit/journal_owner.c tests/unit/journal_owner.h \
	tests/unit/memory_files.c tests/unit/memory_files.h

check_PROGRAMS += tests/unit/test_journal
TESTS += tests/unit/test_journal
tests_unit_test_journal_SOURCES = tests/unit/test_journal.c $(JOURNAL_TEST_SOURCES)
tests_unit_test_journal_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_journal_space
TESTS += tests/unit/test_journal_space
tests_unit_test_journal_space_SOURCES = tests/unit/test_journal_space.c $(JOURNAL_TEST_SOURCES)
tests_unit_test_journal_space_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_journal_corruption
TESTS += tests/unit/test_journal_corruption
tests_unit_test_journal_corruption_SOURCES = tests/unit/test_journal_corruption.c \
	$(JOURNAL_TEST_SOURCES)
tests_unit_test_journal_corruption_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_journal_power_loss
TESTS += tests/unit/test_journal_power_loss
tests_unit_test_journal_power_loss_SOURCES = tests/unit/test_journal_power_loss.c \
	$(JOURNAL_TEST_SOURCES)
tests_unit_test_journal_power_loss_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_key_index
TESTS += tests/unit/test_key_index
tests_unit_test_key_index_SOURCES = tests/unit/test_key_index.c
tests_unit_test_key_index_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_leveretctl_backup
TESTS += tests/unit/test_leveretctl_backup
tests_unit_test_leveretctl_backup_SOURCES = tests/unit/test_leveretctl_backup.c \
	tests/unit/store_helpers.c tests/unit/store_helpers.h
tests_unit_test_leveretctl_backup_LDADD = src/leveretctl/libleveret_leveretctl.a $(STORE_LIBS) \
	$(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_leveretctl_tls
TESTS += tests/unit/test_leveretctl_tls
tests_unit_test_leveretctl_tls_SOURCES = tests/unit/test_leveretctl_tls.c \
	tests/unit/store_helpers.c tests/unit/store_helpers.h
tests_unit_test_leveretctl_tls_LDADD = src/leveretctl/libleveret_leveretctl.a $(STORE_LIBS) \
	$(CRYPTO_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_list
TESTS += tests/unit/test_list
tests_unit_test_list_SOURCES = tests/unit/test_list.c
tests_unit_test_list_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_listener
TESTS += tests/unit/test_listener
tests_unit_test_listener_SOURCES = tests/unit/test_listener.c
tests_unit_test_listener_LDADD = $(NET_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_log
TESTS += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_log_quota
TESTS += tests/unit/test_log_quota
tests_unit_test_log_quota_SOURCES = tests/unit/test_log_quota.c
tests_unit_test_log_quota_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_mail
TESTS += tests/unit/test_mail
tests_unit_test_mail_SOURCES = tests/unit/test_mail.c
tests_unit_test_mail_LDADD = src/server/libleveret_server.a $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_message
TESTS += tests/unit/test_message
tests_unit_test_message_SOURCES = tests/unit/test_message.c
tests_unit_test_message_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_network
TESTS += tests/unit/test_network
tests_unit_test_network_SOURCES = tests/unit/test_network.c tests/unit/unit.h
tests_unit_test_network_LDADD = $(NET_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_output
TESTS += tests/unit/test_output
tests_unit_test_output_SOURCES = tests/unit/test_output.c
tests_unit_test_output_LDADD = $(SESSION_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_pattern
TESTS += tests/unit/test_pattern
tests_unit_test_pattern_SOURCES = tests/unit/test_pattern.c
tests_unit_test_pattern_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_perf_histogram
TESTS += tests/unit/test_perf_histogram
tests_unit_test_perf_histogram_SOURCES = tests/unit/test_perf_histogram.c
tests_unit_test_perf_histogram_LDADD = $(PERF_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_perf_options
TESTS += tests/unit/test_perf_options
tests_unit_test_perf_options_SOURCES = tests/unit/test_perf_options.c
tests_unit_test_perf_options_LDADD = $(PERF_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_perf_sequence
TESTS += tests/unit/test_perf_sequence
tests_unit_test_perf_sequence_SOURCES = tests/unit/test_perf_sequence.c
tests_unit_test_perf_sequence_LDADD = $(PERF_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_perf_slab
TESTS += tests/unit/test_perf_slab
tests_unit_test_perf_slab_SOURCES = tests/unit/test_perf_slab.c
tests_unit_test_perf_slab_LDADD = $(PERF_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_policy
TESTS += tests/unit/test_policy
tests_unit_test_policy_SOURCES = tests/unit/test_policy.c
tests_unit_test_policy_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_proxy_header
TESTS += tests/unit/test_proxy_header
tests_unit_test_proxy_header_SOURCES = tests/unit/test_proxy_header.c tests/unit/unit.h
tests_unit_test_proxy_header_LDADD = $(NET_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_queue
TESTS += tests/unit/test_queue
tests_unit_test_queue_SOURCES = tests/unit/test_queue.c
tests_unit_test_queue_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)
tests_unit_test_queue_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

check_PROGRAMS += tests/unit/test_queue_options
TESTS += tests/unit/test_queue_options
tests_unit_test_queue_options_SOURCES = tests/unit/test_queue_options.c
tests_unit_test_queue_options_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_queue_paging
TESTS += tests/unit/test_queue_paging
tests_unit_test_queue_paging_SOURCES = tests/unit/test_queue_paging.c tests/unit/queue_helpers.c \
	tests/unit/queue_helpers.h
tests_unit_test_queue_paging_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_queue_rules
TESTS += tests/unit/test_queue_rules
tests_unit_test_queue_rules_SOURCES = tests/unit/test_queue_rules.c tests/unit/queue_helpers.c \
	tests/unit/queue_helpers.h
tests_unit_test_queue_rules_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_queue_store
TESTS += tests/unit/test_queue_store
tests_unit_test_queue_store_SOURCES = tests/unit/test_queue_store.c tests/unit/queue_helpers.c \
	tests/unit/queue_helpers.h
tests_unit_test_queue_store_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_random
TESTS += tests/unit/test_random
tests_unit_test_random_SOURCES = tests/unit/test_random.c
tests_unit_test_random_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_reactor
TESTS += tests/unit/test_reactor
tests_unit_test_reactor_SOURCES = tests/unit/test_reactor.c
tests_unit_test_reactor_LDADD = $(NET_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_recovery
TESTS += tests/unit/test_recovery
tests_unit_test_recovery_SOURCES = tests/unit/test_recovery.c $(JOURNAL_TEST_SOURCES)
tests_unit_test_recovery_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_reply_registry
TESTS += tests/unit/test_reply_registry
tests_unit_test_reply_registry_SOURCES = tests/unit/test_reply_registry.c
tests_unit_test_reply_registry_LDADD = $(SESSION_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_route
TESTS += tests/unit/test_route
tests_unit_test_route_SOURCES = tests/unit/test_route.c \
	tests/unit/topology_helpers.c tests/unit/topology_helpers.h
tests_unit_test_route_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_route_ahead
TESTS += tests/unit/test_route_ahead
tests_unit_test_route_ahead_SOURCES = tests/unit/test_route_ahead.c \
	tests/unit/topology_helpers.c tests/unit/topology_helpers.h
tests_unit_test_route_ahead_LDADD = $(SESSION_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_route_cache
TESTS += tests/unit/test_route_cache
tests_unit_test_route_cache_SOURCES = tests/unit/test_route_cache.c
tests_unit_test_route_cache_LDADD = $(SESSION_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_server_names
TESTS += tests/unit/test_server_names
tests_unit_test_server_names_SOURCES = tests/unit/test_server_names.c
tests_unit_test_server_names_LDADD = $(SESSION_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_segment
TESTS += tests/unit/test_segment
tests_unit_test_segment_SOURCES = tests/unit/test_segment.c
tests_unit_test_segment_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_simulation
TESTS += tests/unit/test_simulation
tests_unit_test_simulation_SOURCES = tests/unit/test_simulation.c
tests_unit_test_simulation_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_run_pool
TESTS += tests/unit/test_run_pool
tests_unit_test_run_pool_SOURCES = tests/unit/test_run_pool.c tests/unit/unit.h
tests_unit_test_run_pool_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=munmap
tests_unit_test_run_pool_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_slab
TESTS += tests/unit/test_slab
tests_unit_test_slab_SOURCES = tests/unit/test_slab.c tests/unit/unit.h
tests_unit_test_slab_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_slab_pool
TESTS += tests/unit/test_slab_pool
tests_unit_test_slab_pool_SOURCES = tests/unit/test_slab_pool.c tests/unit/unit.h
tests_unit_test_slab_pool_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=getpagesize,--wrap=madvise,--wrap=munmap
tests_unit_test_slab_pool_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_system_memory
TESTS += tests/unit/test_system_memory
tests_unit_test_system_memory_SOURCES = tests/unit/test_system_memory.c tests/unit/unit.h
tests_unit_test_system_memory_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_table
TESTS += tests/unit/test_table
tests_unit_test_table_SOURCES = tests/unit/test_table.c
tests_unit_test_table_LDADD = $(BASE_LIBS) $(CHECK_LIBS)

TESTS += tests/unit/test_check_layers
dist_check_SCRIPTS += tests/unit/test_check_layers

TESTS += tests/unit/test_hardening
dist_check_SCRIPTS += tests/unit/test_hardening

TESTS += tests/unit/test_service
dist_check_SCRIPTS += tests/unit/test_service

TESTS += tests/unit/test_man_pages
dist_check_SCRIPTS += tests/unit/test_man_pages

check_PROGRAMS += tests/unit/test_timer_wheel
TESTS += tests/unit/test_timer_wheel
tests_unit_test_timer_wheel_SOURCES = tests/unit/test_timer_wheel.c
tests_unit_test_timer_wheel_LDADD = $(NET_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_tls_stream
TESTS += tests/unit/test_tls_stream
tests_unit_test_tls_stream_SOURCES = tests/unit/test_tls_stream.c tests/unit/store_helpers.c \
	tests/unit/store_helpers.h tests/unit/unit.h
tests_unit_test_tls_stream_LDADD = src/leveretctl/libleveret_leveretctl.a src/net/libleveret_net.a \
	$(STORE_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_topology
TESTS += tests/unit/test_topology
tests_unit_test_topology_SOURCES = tests/unit/test_topology.c \
	tests/unit/topology_helpers.c tests/unit/topology_helpers.h
tests_unit_test_topology_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_unacked
TESTS += tests/unit/test_unacked
tests_unit_test_unacked_SOURCES = tests/unit/test_unacked.c
tests_unit_test_unacked_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_value_text
TESTS += tests/unit/test_value_text
tests_unit_test_value_text_SOURCES = tests/unit/test_value_text.c
tests_unit_test_value_text_LDADD = $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_vhost
TESTS += tests/unit/test_vhost
tests_unit_test_vhost_SOURCES = tests/unit/test_vhost.c
tests_unit_test_vhost_LDADD = src/server/libleveret_server.a $(BROKER_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_yield_timer
TESTS += tests/unit/test_yield_timer
tests_unit_test_yield_timer_SOURCES = tests/unit/test_yield_timer.c tests/unit/unit.h
tests_unit_test_yield_timer_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
