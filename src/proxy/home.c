#include "proxy/home.h"

#include "proxy/backend.h"
#include "proxy/place.h"

/* ---- homes ---- */

/* Jump consistent hash: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm",
 * 2014. 0 to count - 1; of count + 1 keys one moves when there is one seat more. */
static size_t jump(uint64_t key, size_t count)
{
    int64_t found = -1, next = 0;
    while (next < (int64_t)count) {
        found = next;
        key = key * 2862933555777941757U + 1;
        next = (int64_t)((double)(found + 1) * ((double)(1LL << 31) / (double)((key >> 33) + 1)));
    }
    return (size_t)found;
}

static bool has(const struct homes *homes, size_t number)
{
    for (size_t i = 0; i < homes->count; i++) {
        if (homes->numbers[i] == number)
            return true;
    }
    return false;
}

void homes_find(struct homes *homes, uint64_t key, size_t seats)
{
    size_t wanted = (seats + SEATS_A_HOME - 1) / SEATS_A_HOME;
    wanted = wanted < HOMES_MIN ? HOMES_MIN : wanted > HOMES_MAX ? HOMES_MAX : wanted;
    homes->seats = seats;
    homes->count = 0;
    for (uint64_t i = 0; i < wanted && homes->count < seats; i++) {
        size_t number = jump(key + i * 0x9E3779B97F4A7C15U, seats);
        while (has(homes, number))
            number = (number + 1) % seats;
        homes->numbers[homes->count++] = number;
    }
}

static const struct homes *homes_of(struct place *place)
{
    size_t seats = place->pool->seats.count;
    if (place->homes.seats != seats)
        homes_find(&place->homes, hash_u64((uint64_t)place->placement_id), seats);
    return &place->homes;
}

/* ---- seats ---- */

static void sit_down(struct backend *backend, size_t number)
{
    backend->pool->seats.backends[number] = backend;
    backend->seat = number;
    backend->seated = true;
}

void home_take_seat(struct backend *backend)
{
    struct seats *seats = &backend->pool->seats;
    size_t number = 0;
    while (number < seats->count && seats->backends[number])
        number++;
    if (number == seats->capacity) {
        seats->capacity = seats->capacity ? 2 * seats->capacity : 8;
        seats->backends = xrealloc(seats->backends, seats->capacity * sizeof(struct backend *));
    }
    if (number == seats->count)
        seats->count++;
    sit_down(backend, number);
}

static void close_ranks(struct seats *seats)
{
    size_t taken = 0;
    for (size_t i = 0; i < seats->count; i++) {
        if (seats->backends[i])
            sit_down(seats->backends[i], taken++);
    }
    seats->count = taken;
}

void home_leave_seat(struct backend *backend)
{
    struct seats *seats = &backend->pool->seats;
    if (!backend->seated)
        return;
    backend->seated = false;
    seats->backends[backend->seat] = NULL;
    size_t taken = 0;
    for (size_t i = 0; i < seats->count; i++)
        taken += seats->backends[i] != NULL;
    if (2 * taken <= seats->count)
        close_ranks(seats);
}

void home_free_seats(struct seats *seats)
{
    free(seats->backends);
    *seats = (struct seats){0};
}

/* ---- who is where ---- */

bool home_is(struct place *place, const struct backend *backend)
{
    return place->shared_tables || !pool_is_guarded(place->pool) ||
           (backend->seated && has(homes_of(place), backend->seat));
}

bool home_is_first(struct place *place, const struct backend *backend)
{
    return place->shared_tables || !pool_is_guarded(place->pool) ||
           (backend->seated && homes_of(place)->numbers[0] == backend->seat);
}

struct backend *home_idle(struct place *place)
{
    const struct homes *homes = homes_of(place);
    for (size_t i = 0; i < homes->count; i++) {
        struct backend *backend = place->pool->seats.backends[homes->numbers[i]];
        if (backend && backend->state == BACKEND_IDLE)
            return backend;
    }
    return NULL;
}

/* Or is not there to come free: a cancel request for it is under way. */
static bool is_held(const struct backend *backend, int64_t now_us)
{
    bool soon = backend->state == BACKEND_IDLE ||
                (backend->state == BACKEND_LINKED && now_us - backend->linked_us <= HOME_HELD_US);
    return !soon;
}

bool home_is_anywhere(struct place *place, int64_t now_us)
{
    if (place->shared_tables || !pool_is_guarded(place->pool))
        return true;
    const struct homes *homes = homes_of(place);
    for (size_t i = 0; i < homes->count; i++) {
        const struct backend *backend = place->pool->seats.backends[homes->numbers[i]];
        if (backend && !is_held(backend, now_us))
            return false;
    }
    return true;
}
