/* The broker under test, as a process: started on an ephemeral port with a configuration and a
 * directory of its own, stopped with SIGTERM, and held to leaving nothing but exit status 0.
 *
 * With LEVERET_TEST_BROKER=host:port in the environment the tests run against a broker that is
 * there already (RabbitMQ, as the oracle); a test that needs a process of its own is skipped. */
#ifndef LEVERET_TESTS_WIRE_BROKER_PROCESS_H
#define LEVERET_TESTS_WIRE_BROKER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct broker;

/* The leveretd under test has a sanitizer in it, whose shadow of the memory and what it keeps back
 * of freed memory are not the broker's. The tests themselves need none. */
bool broker_is_sanitized(void);

/* The tests run against an external broker: not leveretd. */
bool against_oracle(void);

/* Starts leveretd with the YAML text `config` and waits until it listens. The text's `@PORT@`,
 * `@WORKERS@` and `@HANDSHAKE_MS@` are replaced: by 0 (an ephemeral port), by the number of workers
 * that the run is for, and by a time for handshakes that is short, and long enough for those that
 * do not stall. Fails the test when it does not come up. The caller stops it. */
struct broker *broker_start(const char *config);

/* As broker_start, with a workers number of the caller's choice. */
struct broker *broker_start_with_workers(const char *config, int workers);

/* A broker with a directory of its own that does not run yet. */
struct broker *broker_prepare(void);

/* Starts a broker that does not run, on the data directory that it has, and waits until it listens.
 * Its log begins anew. What the environment has as LEVERETD_PRELOAD is loaded into it. Fails the
 * test when it does not come up; its directory stays then. */
void broker_launch(struct broker *b, const char *config, int workers);

/* Ends the broker with SIGKILL, or with SIGTERM and held to what broker_stop says; its directory
 * stays for broker_launch. Return false, having said why, when it had ended before or a sanitizer
 * wrote a report. */
bool broker_kill(struct broker *b);
bool broker_end(struct broker *b);

/* The path of its data directory. */
void broker_data_directory(const struct broker *b, char *path, size_t size);

/* A broker that someone else started and stops: `address` is host:port. */
struct broker *broker_external(const char *address);

/* Sends SIGTERM, waits for the end and releases `b`. Returns true when the broker left with exit
 * status 0 in time and no sanitizer wrote a report; else says on standard error what happened,
 * with the broker's log. Does nothing to an external broker. One that was killed is released. */
bool broker_stop(struct broker *b);

/* Writes the end of the broker's log to standard error. Does nothing for an external broker. */
void broker_show_log(const struct broker *b);

/* Writes a new configuration file and sends SIGHUP. What tells that it was applied is up to the
 * caller. */
void broker_reload(struct broker *b, const char *config);

/* As broker_reload(), and waits until it was applied, which the log (level info) tells. False when
 * that takes too long. */
bool broker_reloads(struct broker *b, const char *config);

/* Waits for the broker to end by itself, at most `timeout_ms`. Returns its exit status, or -1 when
 * it still runs, or 128 + the signal's number. broker_stop remains to be called. */
int broker_wait(struct broker *b, int timeout_ms);

const char *broker_host(const struct broker *b);
uint16_t broker_port(const struct broker *b);
/* The port of the listener at place `number`, from 0 on; that of 0 is broker_port(). */
uint16_t broker_listener_port(const struct broker *b, int number);
pid_t broker_pid(const struct broker *b);

/* The broker's resident memory in KiB. */
long broker_resident_kib(const struct broker *b);

/* How often what the broker has logged by now holds `text`, and whether it does. */
unsigned broker_log_count(const struct broker *b, const char *text);
bool broker_log_holds(const struct broker *b, const char *text);

/* The sum of the numbers that stand before `text`, which begins with a space, in the log. */
unsigned broker_log_sum(const struct broker *b, const char *text);

/* Waits until the broker's log holds `text`; false when that takes too long. */
bool broker_log_awaits(const struct broker *b, const char *text);

/* Runs leveretd with `arguments` (NULL-terminated, without the program's name) to its end. Returns
 * its exit status; what it wrote to standard output and standard error comes in `output`. */
int leveretd_run(char *const arguments[], const char *input, char *output, size_t output_size);

/* The same with leveretctl, on the data directory of `b`. */
int leveretctl_run(const struct broker *b, char *const arguments[], char *output,
                   size_t output_size);

/* A fresh directory that goes, with the files in it, when the program ends. */
const char *scratch_directory(void);

/* How long a test waits for what must come: LEVERET_TEST_DEADLINE_MS, default 10,000. */
int deadline_ms(void);

/* Monotonic time. */
int64_t now_ms(void);

/* The number of workers that this run of the suites is for. */
int test_workers(void);
void set_test_workers(int workers, bool follow_queues);

#endif
