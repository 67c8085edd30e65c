/* Heartbeats of an open connection (AMQP 0-9-1 §4.2.7), by its timer: is the peer there, and does
 * it hear of us? Two intervals of silence and a half one of grace end it. On its worker. */
#ifndef LEVERET_SESSION_CONNECTION_HEARTBEAT_H
#define LEVERET_SESSION_CONNECTION_HEARTBEAT_H

struct connection;

/* Sets the timer for the first turn; does nothing where no heartbeats were agreed on. */
void connection_heartbeat_begin(struct connection *c);

/* The timer is due, twice an interval: sends a heartbeat if nothing else was sent, and kills a
 * connection that has been silent for too long, which is logged. Sets the timer again. */
void connection_heartbeat_turn(struct connection *c);

#endif
