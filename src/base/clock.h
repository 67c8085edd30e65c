/* Time, read in one place. The core never calls these: it is given the time. Any thread. */
#ifndef LEVERET_BASE_CLOCK_H
#define LEVERET_BASE_CLOCK_H

#include <stdint.h>

/* Monotonic time, for durations and timers. */
int64_t clock_monotonic_ns(void);
int64_t clock_monotonic_ms(void);

/* What all threads of the process ran, so far. */
int64_t clock_process_ns(void);

/* Time of day, in milliseconds since 1970 (UTC). */
int64_t clock_realtime_ms(void);

#endif
