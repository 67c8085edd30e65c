#include "admin/ask.h"

#include "server/server.h"
#include "session/broker.h"

/* Behind the mail record. */
struct question {
    struct asker *asker;
    void (*act)(struct shard *s, void *context);
    void *context;
};

void asker_init(struct asker *a, struct broker *b)
{
    *a = (struct asker){
        .broker = b,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .answered = PTHREAD_COND_INITIALIZER,
    };
}

void asker_release(struct asker *a)
{
    pthread_cond_destroy(&a->answered);
    pthread_mutex_destroy(&a->lock);
}

static void handle_question(struct worker *w, struct mail_record *r)
{
    const struct question *q = (const struct question *)(void *)(r + 1);
    struct asker *a = q->asker;

    q->act(shard_of(w), q->context);
    pthread_mutex_lock(&a->lock);
    if (--a->pending == 0)
        pthread_cond_signal(&a->answered);
    pthread_mutex_unlock(&a->lock);
}

void ask(struct asker *a, uint32_t worker, void (*act)(struct shard *s, void *context),
         void *context)
{
    const struct question q = {.asker = a, .act = act, .context = context};

    pthread_mutex_lock(&a->lock);
    a->pending++;
    pthread_mutex_unlock(&a->lock);
    worker_post(&a->broker->server->workers[worker], handle_question, &q, sizeof(q));
}

void asker_wait(struct asker *a)
{
    pthread_mutex_lock(&a->lock);
    while (a->pending != 0)
        pthread_cond_wait(&a->answered, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

void ask_and_wait(struct asker *a, uint32_t worker, void (*act)(struct shard *s, void *context),
                  void *context)
{
    ask(a, worker, act, context);
    asker_wait(a);
}
