/*
 * notification.h - whose a notification is, where tenants share the channels of a database.
 */
#ifndef PROXY_NOTIFICATION_H
#define PROXY_NOTIFICATION_H

#include "base/buffer.h"

/*
 * The guard tells the tenant in front of the channel's name, in hexadecimal digits: "2a:news" (see
 * guard/channels.c). Writes the NotificationResponse without that to `out`, from the body of one
 * that is whole. False, and nothing is written: it is another tenant's, or malformed.
 */
bool notification_write_own(int64_t tenant_id, const char *body, size_t length, struct buffer *out);

#endif
