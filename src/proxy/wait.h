/*
 * wait.h - for how long a client waits for a backend: its place's queue timeout.
 *
 * A place has one timer, which is started when somebody begins to wait and runs on when nobody does
 * any more: so it costs nothing where each transaction waits a moment.
 */
#ifndef PROXY_WAIT_H
#define PROXY_WAIT_H

#include "proxy/client.h"

struct place;

void wait_init(struct place *place);
/* For the place's end. */
void wait_stop(struct place *place);
/* The client is in the queue; it waits no longer, whether it got a backend or not. */
void wait_began(struct client *client);
void wait_ended(struct client *client);
/* The place's waiting clients have their whole time before them again. */
void wait_renew(struct place *place);
/* The place's limits are others than before. */
void wait_changed(struct place *place);

#endif
