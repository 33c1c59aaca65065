/* SPDX-License-Identifier: Apache-2.0 */
#include "control/moment.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define SECOND_NS UINT64_C(1000000000)

/* Exactly n digits. */
static bool
take_digits(const char **at, unsigned n, int *number)
{
        *number = 0;
        for (unsigned i = 0; i < n; i++, ++*at) {
                if (**at < '0' || **at > '9')
                        return false;
                *number = *number * 10 + (**at - '0');
        }
        return true;
}

static bool
take_char(const char **at, const char *any)
{
        if (**at == '\0' || strchr(any, **at) == NULL)
                return false;
        ++*at;
        return true;
}

/* A point and one to nine digits, or nothing. */
static bool
take_fraction(const char **at, uint64_t *ns)
{
        unsigned digits = 0;

        *ns = 0;
        if (!take_char(at, "."))
                return true;
        for (; **at >= '0' && **at <= '9'; ++*at, digits++)
                *ns = digits < 9 ? *ns * 10 + (uint64_t)(**at - '0') : *ns;
        for (unsigned i = digits; i < 9; i++)
                *ns *= 10;
        return digits >= 1 && digits <= 9;
}

static bool
is_date(int year, int month, int day)
{
        static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        return month >= 1 && month <= 12 && day >= 1 &&
               day <= days[month - 1] + (leap && month == 2 ? 1 : 0);
}

static int
join(int64_t seconds, uint64_t fraction, uint64_t *ns)
{
        if (seconds < 0 || (uint64_t)seconds >= (uint64_t)INT64_MAX / SECOND_NS)
                return -ERANGE;
        *ns = (uint64_t)seconds * SECOND_NS + fraction;
        return 0;
}

static int
parse_unix(const char *text, uint64_t *ns)
{
        const char *at = text;
        uint64_t fraction;
        int64_t seconds = 0;

        for (; *at >= '0' && *at <= '9'; at++) {
                if (seconds > INT64_MAX / 10 - 1)
                        return -ERANGE;
                seconds = seconds * 10 + (*at - '0');
        }
        if (at == text || !take_fraction(&at, &fraction) || *at != '\0')
                return -EINVAL;
        return join(seconds, fraction, ns);
}

/* After the date: Thh:mm:ss[.f](Z|+hh:mm|-hh:mm). */
static bool
take_time(const char **at, int *seconds, uint64_t *fraction)
{
        int hour, minute, second, east_hour = 0, east_minute = 0, sign = 1;

        if (!take_char(at, "Tt ") || !take_digits(at, 2, &hour) || !take_char(at, ":") ||
            !take_digits(at, 2, &minute) || !take_char(at, ":") || !take_digits(at, 2, &second) ||
            !take_fraction(at, fraction) || hour > 23 || minute > 59 || second > 60)
                return false;
        if (!take_char(at, "Zz")) {
                sign = **at == '-' ? -1 : 1;
                if (!take_char(at, "+-") || !take_digits(at, 2, &east_hour) ||
                    !take_char(at, ":") || !take_digits(at, 2, &east_minute) || east_hour > 23 ||
                    east_minute > 59)
                        return false;
        }
        /* Unix time has no leap second: it is the next minute's first. */
        *seconds = (hour * 60 + minute - sign * (east_hour * 60 + east_minute)) * 60 + second;
        return true;
}

int
moment_parse(const char *text, uint64_t *ns)
{
        struct tm date = {0};
        const char *at = text;
        uint64_t fraction = 0;
        int seconds = 0, year;

        if (strchr(text, '-') == NULL)
                return parse_unix(text, ns);
        if (!take_digits(&at, 4, &year) || !take_char(&at, "-") ||
            !take_digits(&at, 2, &date.tm_mon) || !take_char(&at, "-") ||
            !take_digits(&at, 2, &date.tm_mday) || !is_date(year, date.tm_mon, date.tm_mday))
                return -EINVAL;
        if (*at != '\0' && (!take_time(&at, &seconds, &fraction) || *at != '\0'))
                return -EINVAL;
        date.tm_year = year - 1900;
        date.tm_mon--;
        return join((int64_t)timegm(&date) + seconds, fraction, ns);
}
