/*
 * home.h - which of a shared pool's backends a place keeps to.
 *
 * What a server process knows of a tenant's own tables is memory that it never gives back, takes
 * long to read for the first time, and is soon out of the processor's caches where it is much. So a
 * backend that is logged in has a seat, by number, and a place is at home on a tenth of the seats,
 * two at least: each backend comes to know a tenth of the tenants. Homes follow from the place's
 * number by consistent hashing, so that few move when there are more seats or fewer, and whoever
 * takes the seat of a backend that was replaced finds the same tenants.
 *
 * Elsewhere a place goes when it has waited (queue.h), or when all its homes are held by others for
 * long. Where tenants have the same tables, all are at home on all.
 */
#ifndef PROXY_HOME_H
#define PROXY_HOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backend;
struct place;
struct pool;

enum { HOMES_MIN = 2, HOMES_MAX = 8, SEATS_A_HOME = 10, HOME_HELD_US = 100 * 1000 };

/* A place's homes, as they are where the pool has so many seats. */
struct homes {
    size_t seats; /* 0: not worked out */
    size_t count;
    size_t numbers[HOMES_MAX];
};

/* The seats of a pool; NULL where a backend ended and no other has come. */
struct seats {
    struct backend **backends;
    size_t count, capacity;
};

/* Works the homes out for so many seats; `count` may be 0 seats. The key is spread by the caller:
 * any two keys' bits must differ as by chance. */
void homes_find(struct homes *homes, uint64_t key, size_t seats);

/* The backend has logged in: it gets the first seat that is free. */
void home_take_seat(struct backend *backend);
/* It ends. May move others to other seats, when half of them are free. */
void home_leave_seat(struct backend *backend);
void home_free_seats(struct seats *seats);

bool home_is(struct place *place, const struct backend *backend);
/* Whether the backend is the first of its homes. */
bool home_is_first(struct place *place, const struct backend *backend);
/* One of the place's homes that is idle, the first if it is, or NULL. */
struct backend *home_idle(struct place *place);
/* Whether the place may go anywhere without waiting first: it is at home everywhere, or nowhere, or
 * only where somebody stays longer than HOME_HELD_US. */
bool home_is_anywhere(struct place *place, int64_t now_us);

#endif
