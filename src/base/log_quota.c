#include "base/log_quota.h"

uint32_t log_quota_lines(const struct log_quota *q)
{
    return q->lines != 0 ? q->lines : LOG_QUOTA_LINES;
}

bool log_quota_take(struct log_quota *q, int64_t now_ms)
{
    if (now_ms >= q->end_ms) {
        q->end_ms = now_ms + LOG_QUOTA_PERIOD_MS;
        q->written = 0;
    }
    if (q->written < log_quota_lines(q)) {
        q->written++;
        return true;
    }
    if (q->left_out < UINT32_MAX)
        q->left_out++;
    return false;
}

uint32_t log_quota_tell(struct log_quota *q)
{
    uint32_t left_out = q->left_out;

    q->left_out = 0;
    return left_out;
}
