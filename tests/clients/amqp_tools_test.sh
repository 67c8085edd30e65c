#!/usr/bin/env bash
# amqp-tools: librabbitmq's commands for the shell.
set -u

url=amqp://guest:guest@$AMQP_HOST:$AMQP_PORT
queue=amqp-tools-$$
status=0

# NAME EXPECTED ACTUAL
check() {
    if [[ $2 == "$3" ]]; then
        printf 'ok %s\n' "$1"
    else
        printf 'not ok %s: expected "%s", got "%s"\n' "$1" "$2" "$3"
        status=1
    fi
}

check "declares a queue" "$queue" "$(amqp-declare-queue --url="$url" --queue="$queue")"

amqp-publish --url="$url" --routing-key="$queue" --body="first" --content-type=text/plain
check "gets what it published" "first" "$(amqp-get --url="$url" --queue="$queue")"

printf 'a\nb\nc\n' | amqp-publish --url="$url" --routing-key="$queue" --line-buffered
check "consumes with a command a message" "a b c" \
    "$(amqp-consume --url="$url" --queue="$queue" --count=3 cat | tr '\n' ' ' | sed 's/ $//')"

amqp-get --url="$url" --queue="$queue" >/dev/null
check "finds the queue empty" 2 $?

# With --exchange, amqp-consume makes a queue of its own and binds it. It says on standard error
# what the queue is called, when it is ready.
coproc amqp-consume --url="$url" --exchange=amq.topic --routing-key="$queue.#" --count=1 cat 2>&1
exec {consumed}<&"${COPROC[0]}" # bash forgets its own once the command has ended
IFS= read -r -t 10 -u "$consumed" _
amqp-publish --url="$url" --exchange=amq.topic --routing-key="$queue.news" --body="topical"
IFS= read -r -t 10 -u "$consumed" line || true
check "consumes from an exchange" "topical" "${line:-nothing}"

check "deletes the queue" "0" "$(amqp-delete-queue --url="$url" --queue="$queue")"

amqp-get --url="$url" --queue="$queue" 2>"$SCRATCH/amqp-tools" >/dev/null
check "is told that the queue is gone" "yes" \
    "$(grep -q "NOT_FOUND - no queue '$queue' in vhost '/'" "$SCRATCH/amqp-tools" && echo yes)"

exit $status
