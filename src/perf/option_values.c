/* The values of options that have a form of their own: addresses, sizes and name patterns. */
#include "base/random.h"
#include "perf/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies [from, end) into `out` with %XX decoded. */
static bool percent_decode(char *out, size_t size, const char *from, const char *end)
{
    size_t used = 0;

    while (from < end) {
        char c = *from++;

        if (c == '%') {
            int high = from < end ? hex_digit(from[0]) : -1;
            int low = from + 1 < end ? hex_digit(from[1]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            from += 2;
        }
        if (used + 1 >= size || c == '\0')
            return false;
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

static int address_error(char *error, size_t error_size, const char *text)
{
    snprintf(error, error_size, "%s", text);
    return -EINVAL;
}

static bool address_read_user(struct broker_address *a, const char *from, const char *end)
{
    const char *colon = memchr(from, ':', (size_t)(end - from));

    if (!percent_decode(a->user, sizeof(a->user), from, colon != NULL ? colon : end))
        return false;
    return colon == NULL || percent_decode(a->password, sizeof(a->password), colon + 1, end);
}

static bool address_read_host(struct broker_address *a, const char *from, const char *end)
{
    const char *host_end = end;
    const char *port = NULL;

    if (from < end && *from == '[') {
        host_end = memchr(from, ']', (size_t)(end - from));
        if (host_end == NULL)
            return false;
        if (host_end + 1 < end && host_end[1] == ':')
            port = host_end + 2;
        from++;
    } else {
        const char *colon = memchr(from, ':', (size_t)(end - from));

        if (colon != NULL) {
            host_end = colon;
            port = colon + 1;
        }
    }
    if (host_end > from && !percent_decode(a->host, sizeof(a->host), from, host_end))
        return false;
    if (port != NULL) {
        char *rest;
        long number = strtol(port, &rest, 10);

        if (rest != end || number < 1 || number > 65535)
            return false;
        a->port = (uint16_t)number;
    }
    return true;
}

int broker_address_parse(struct broker_address *a, const char *uri, char *error, size_t error_size)
{
    const char *at;
    const char *authority_end;
    const char *user_end;

    *a = (struct broker_address){
        .user = "guest", .password = "guest", .host = "localhost", .vhost = "/", .port = 5672};
    if (strncmp(uri, "amqps://", 8) == 0) {
        a->tls = true;
        a->port = 5671;
    } else if (strncmp(uri, "amqp://", 7) != 0) {
        return address_error(error, error_size, "an address begins with amqp:// or amqps://");
    }

    at = strchr(uri, '/') + 2;
    authority_end = at + strcspn(at, "/?");
    user_end = memchr(at, '@', (size_t)(authority_end - at));
    if (user_end != NULL) {
        if (!address_read_user(a, at, user_end))
            return address_error(error, error_size, "malformed user or password in the address");
        at = user_end + 1;
    }
    if (!address_read_host(a, at, authority_end))
        return address_error(error, error_size, "malformed host or port in the address");
    if (*authority_end == '/' && authority_end[1] != '\0') {
        const char *vhost = authority_end + 1;

        if (!percent_decode(a->vhost, sizeof(a->vhost), vhost, vhost + strcspn(vhost, "?")))
            return address_error(error, error_size, "malformed vhost in the address");
    }
    return 0;
}

static bool size_read(const char **at, uint32_t *out)
{
    char *rest;
    unsigned long long n;

    if (!isdigit((unsigned char)**at))
        return false;
    errno = 0;
    n = strtoull(*at, &rest, 10);
    if (errno != 0 || n > 1u << 30)
        return false;
    *out = (uint32_t)n;
    *at = rest;
    return true;
}

int size_distribution_parse(struct size_distribution *d, const char *text)
{
    *d = (struct size_distribution){0};
    for (;;) {
        struct size_part *part = &d->parts[d->count];

        if (d->count == OPTION_SIZES_MAX || !size_read(&text, &part->low))
            return -EINVAL;
        part->high = part->low;
        part->weight = 1;
        if (strncmp(text, "..", 2) == 0) {
            text += 2;
            if (!size_read(&text, &part->high) || part->high < part->low)
                return -EINVAL;
        }
        if (*text == ':') {
            char *rest;

            part->weight = strtod(text + 1, &rest);
            if (rest == text + 1 || !isfinite(part->weight) || part->weight <= 0)
                return -EINVAL;
            text = rest;
        }
        d->count++;
        if (*text == '\0')
            return 0;
        if (*text++ != ',')
            return -EINVAL;
    }
}

uint32_t size_distribution_draw(const struct size_distribution *d, struct random_sequence *r)
{
    const struct size_part *part = &d->parts[0];
    double total = 0;
    double dice;

    if (d->count > 1) {
        for (uint32_t i = 0; i < d->count; i++)
            total += d->parts[i].weight;
        dice = total * (double)(random_sequence_next(r) >> 11) / (double)(1ull << 53);
        while (part < &d->parts[d->count - 1] && dice >= part->weight) {
            dice -= part->weight;
            part++;
        }
    }
    if (part->low == part->high)
        return part->low;
    return part->low + (uint32_t)random_sequence_below(r, (uint64_t)part->high - part->low + 1);
}

uint32_t size_distribution_max(const struct size_distribution *d)
{
    uint32_t max = 0;

    for (uint32_t i = 0; i < d->count; i++)
        if (d->parts[i].high > max)
            max = d->parts[i].high;
    return max;
}

double size_distribution_mean(const struct size_distribution *d)
{
    double total = 0;
    double sum = 0;

    for (uint32_t i = 0; i < d->count; i++) {
        const struct size_part *part = &d->parts[i];

        total += part->weight;
        sum += part->weight * ((double)part->low + (double)part->high) / 2;
    }
    return total > 0 ? sum / total : 0;
}

bool pattern_varies(const char *pattern)
{
    return strstr(pattern, "%d") != NULL;
}

bool pattern_expand(char *out, size_t size, const char *pattern, uint64_t number)
{
    size_t used = 0;

    while (*pattern != '\0') {
        if (strncmp(pattern, "%d", 2) == 0) {
            int n = snprintf(out + used, size - used, "%llu", (unsigned long long)number);

            if (n < 0 || (size_t)n >= size - used)
                return false;
            used += (size_t)n;
            pattern += 2;
            continue;
        }
        if (used + 1 >= size)
            return false;
        out[used++] = *pattern++;
    }
    out[used] = '\0';
    return true;
}
