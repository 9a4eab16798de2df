//go:build ignore

/*
 * Writes a workbook of N calls with 30 columns, the cells that Callvault's
 * Calls sheet has, with libxlsxwriter in constant-memory mode, and prints the
 * cells per second: the yardstick for Callvault's own workbook.
 *
 *   cc -O2 -o libxlsxwriter libxlsxwriter.c -lxlsxwriter
 *   ./libxlsxwriter 1000000 out.xlsx [folder for temporary files]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <xlsxwriter.h>

enum { COLUMNS = 30 };

static uint64_t state = 88172645463325252ULL;

static uint32_t below(uint32_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state % n);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s CALLS FILE [FOLDER]\n", argv[0]);
        return 2;
    }
    uint32_t calls = (uint32_t)strtoul(argv[1], NULL, 10);
    lxw_workbook_options options = {.constant_memory = LXW_TRUE, .tmpdir = argc > 3 ? argv[3] : NULL};
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);

    lxw_workbook *book = workbook_new_opt(argv[2], &options);
    lxw_worksheet *sheet = workbook_add_worksheet(book, "Calls");
    lxw_format *moment = workbook_add_format(book);
    format_set_num_format(moment, "yyyy-mm-dd hh:mm:ss");
    lxw_format *duration = workbook_add_format(book);
    format_set_num_format(duration, "[h]:mm:ss");
    lxw_format *text = workbook_add_format(book);
    format_set_font_size(text, 10);
    lxw_format *integer = workbook_add_format(book);
    format_set_num_format(integer, "#,##0");
    lxw_format *link = workbook_add_format(book);
    format_set_underline(link, LXW_UNDERLINE_SINGLE);

    static const char *outcomes[] = {"answered", "answered", "answered", "answered",
                                     "missed", "abandoned", "busy", "voicemail"};
    char name[64], number[32], group[32], customer[32], id[64], url[256], key[64], agent_id[16];
    for (uint32_t i = 0; i < COLUMNS; i++) {
        snprintf(name, sizeof name, "Column %u", i + 1);
        worksheet_write_string(sheet, 0, (lxw_col_t)i, name, text);
    }
    for (uint32_t i = 0; i < calls; i++) {
        uint32_t agent = below(500), talk = 20 + below(600), wait = below(60);
        const char *outcome = outcomes[below(8)];
        int answered = outcome[1] == 'n';
        double started = 46347.0 + (double)(uint32_t)(86400.0 * i / (calls + 1)) / 86400.0;
        lxw_row_t row = i + 1;
        lxw_col_t column = 0;
        snprintf(name, sizeof name, "Agent Number%u", agent);
        snprintf(agent_id, sizeof agent_id, "%u", agent);
        snprintf(number, sizeof number, "+9193%08u", agent);
        snprintf(group, sizeof group, "Group %u", agent % 12);
        snprintf(customer, sizeof customer, "+9198%08u", below(100000000));
        snprintf(id, sizeof id, "0197b5a2-7c1e-7d3a-9f00-%012u", i);
        snprintf(key, sizeof key, "1795199400.%u", i);
        snprintf(url, sizeof url, "=HYPERLINK(\"https://calls.example.org/calls/%s\",\"%s\")", id, id);

        worksheet_write_number(sheet, row, column++, started, moment);
        if (answered)
            worksheet_write_number(sheet, row, column, started + wait / 86400.0, moment);
        column++;
        worksheet_write_number(sheet, row, column++, started + (wait + talk) / 86400.0, moment);
        worksheet_write_string(sheet, row, column++, i % 3 ? "inbound" : "outbound", text);
        worksheet_write_string(sheet, row, column++, outcome, text);
        worksheet_write_string(sheet, row, column++, "ANSWER", text);
        worksheet_write_string(sheet, row, column++, customer, text);
        worksheet_write_string(sheet, row, column++, "+911204567890", text);
        worksheet_write_string(sheet, row, column++, name, text);
        worksheet_write_string(sheet, row, column++, agent_id, text);
        worksheet_write_string(sheet, row, column++, number, text);
        worksheet_write_string(sheet, row, column++, group, text);
        worksheet_write_string(sheet, row, column++, "spring", text);
        worksheet_write_number(sheet, row, column++, wait / 86400.0, duration);
        if (answered)
            worksheet_write_number(sheet, row, column, talk / 86400.0, duration);
        column++;
        worksheet_write_number(sheet, row, column++, (wait + talk) / 86400.0, duration);
        worksheet_write_string(sheet, row, column++, "16", text);
        worksheet_write_string(sheet, row, column++, "customer", text);
        worksheet_write_number(sheet, row, column++, 2, integer);
        worksheet_write_string(sheet, row, column++, "sales", text);
        worksheet_write_string(sheet, row, column++, "callerdesk", text);
        worksheet_write_number(sheet, row, column++, 0, integer);
        column++; /* offered to nobody else */
        worksheet_write_number(sheet, row, column++, 1, integer);
        if (answered) {
            worksheet_write_string(sheet, row, column, "archived", text);
            worksheet_write_number(sheet, row, column + 1, talk / 86400.0, duration);
        }
        column += 2;
        worksheet_write_number(sheet, row, column++, answered ? 220000 : 0, integer);
        column++; /* nothing to note of the recording */
        worksheet_write_string(sheet, row, column++, key, text);
        worksheet_write_formula(sheet, row, column, url, link);
    }
    lxw_error error = workbook_close(book);
    if (error) {
        fprintf(stderr, "write workbook: %s\n", lxw_strerror(error));
        return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%u calls, %.2f s, %.0f cells/s\n", calls, seconds, (double)calls * COLUMNS / seconds);
    return 0;
}
