/* A broker whose disk fails to order (disk_faults.c says how). */
#ifndef LEVERET_TESTS_FAULT_FAULTS_H
#define LEVERET_TESTS_FAULT_FAULTS_H

#include "tests/wire/broker_process.h"

/* Launches a broker, without faults at first. */
struct broker *faults_launch(const char *config, int workers);

/* From the next write or sync on, such as "wj28"; "-" ends it. */
void faults_set(const char *fault);

/* Kills the broker and launches it again on a disk that does not fail. */
void faults_restart(struct broker *b, const char *config, int workers);

#endif
