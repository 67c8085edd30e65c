/* What a user may be called, wherever one is made: in the configuration, at run time or by an
 * import. Any thread. */
#ifndef LEVERET_CONFIG_USER_NAME_H
#define LEVERET_CONFIG_USER_NAME_H

#include "base/bytes.h"

/* Returns NULL for UTF-8 without control characters (U+0000 to U+001F, U+007F to U+009F), else what
 * the name must be ("must be …"). Says nothing of its length. */
const char *user_name_check(struct bytes name);

#endif
