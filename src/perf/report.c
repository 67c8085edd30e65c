#include "perf/report.h"

#include <string.h>

static struct report_row *report_add(struct report *r, const char *key, const char *label)
{
    static struct report_row overflow;
    struct report_row *row = r->count < REPORT_ROWS_MAX ? &r->rows[r->count++] : &overflow;

    memset(row, 0, sizeof(*row));
    snprintf(row->key, sizeof(row->key), "%s", key);
    snprintf(row->label, sizeof(row->label), "%s", label);
    return row;
}

void report_number(struct report *r, const char *key, const char *label, const char *unit,
                   double value, unsigned decimals)
{
    struct report_row *row = report_add(r, key, label);

    snprintf(row->unit, sizeof(row->unit), "%s", unit);
    row->value = value;
    row->decimals = decimals;
}

void report_text(struct report *r, const char *key, const char *label, const char *text)
{
    report_add(r, key, label)->text = text;
}

static void report_microseconds(struct report *r, const char *key, const char *label,
                                const char *which, double ns)
{
    char full_key[64];
    char full_label[64];

    snprintf(full_key, sizeof(full_key), "%s_%s_us", key, which);
    snprintf(full_label, sizeof(full_label), "%s %s", label, which);
    report_number(r, full_key, full_label, "us", ns / 1000, 1);
}

void report_latency(struct report *r, const char *key, const char *label, const struct histogram *h)
{
    if (histogram_count(h) == 0)
        return;
    report_microseconds(r, key, label, "min", (double)histogram_min(h));
    report_microseconds(r, key, label, "mean", histogram_mean(h));
    report_microseconds(r, key, label, "p50", (double)histogram_percentile(h, 50));
    report_microseconds(r, key, label, "p95", (double)histogram_percentile(h, 95));
    report_microseconds(r, key, label, "p99", (double)histogram_percentile(h, 99));
    report_microseconds(r, key, label, "p999", (double)histogram_percentile(h, 99.9));
    report_microseconds(r, key, label, "max", (double)histogram_max(h));
}

/* The texts are words of this program: nothing in them needs escaping. */
static void report_print_json(const struct report *r, FILE *out)
{
    fputs("{", out);
    for (unsigned i = 0; i < r->count; i++) {
        const struct report_row *row = &r->rows[i];

        fprintf(out, "%s\n  \"%s\": ", i != 0 ? "," : "", row->key);
        if (row->text != NULL)
            fprintf(out, "\"%s\"", row->text);
        else
            fprintf(out, "%.*f", (int)row->decimals, row->value);
    }
    fputs("\n}\n", out);
}

void report_print(const struct report *r, bool json, FILE *out)
{
    if (json) {
        report_print_json(r, out);
        return;
    }
    for (unsigned i = 0; i < r->count; i++) {
        const struct report_row *row = &r->rows[i];

        if (row->text != NULL)
            fprintf(out, "%-34s %14s\n", row->label, row->text);
        else
            fprintf(out, "%-34s %14.*f %s\n", row->label, (int)row->decimals, row->value,
                    row->unit);
    }
}
