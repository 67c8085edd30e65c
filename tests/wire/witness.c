#include "tests/wire/witness.h"

#include <stdio.h>

void witness_begin(struct witness *w, struct channel *channel)
{
    *w = (struct witness){.channel = channel};
    declare_queue(channel, "witness", 0, NO_ARGS);
    confirm_select(channel);
}

void witness_work(struct witness *w, int times)
{
    for (int i = 0; i < times; i++) {
        int64_t begin = now_ms();

        publish(w->channel, "witness", "a");
        await_confirms(w->channel);
        expect_get(w->channel, "witness", "a", NO_ACK);
        if (now_ms() - begin > w->slowest_ms)
            w->slowest_ms = now_ms() - begin;
    }
}

void witness_was_served(const struct witness *w, int part)
{
    printf("the slowest of the others waited for %ld ms\n", (long)w->slowest_ms);
    ck_assert_msg(w->slowest_ms < deadline_ms() / part, "somebody waited for %ld ms",
                  (long)w->slowest_ms);
}
