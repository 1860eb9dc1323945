/*
 * effect.h - whether a tenant's neighbours are slower while it is at work.
 */
#ifndef ADVISE_EFFECT_H
#define ADVISE_EFFECT_H

#include "advise/advise.h"

/* Not known where there are few moments, few transactions, or where the tenant is always equally
 * busy. */
struct advise_effect advise_effect(const struct advise_facts *facts,
                                   const struct advise_placement *placement, struct arena *arena);

#endif
