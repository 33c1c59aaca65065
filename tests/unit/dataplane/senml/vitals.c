/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: every row of the vital signs' table: its code is found, each unit converts exactly, the
 * bounds of its range are plausible and what lies beyond is flagged. */
#include <errno.h>

#include "crypto/seal.h"
#include "dataplane/senml/vitals.h"
#include "tests/unit/dataplane/senml/senml_test.h"

static struct decimal
number(const char *text)
{
        struct decimal d;

        cr_assert(decimal_parse(&d, (const uint8_t *)text, strlen(text)) == (ssize_t)strlen(text));
        return d;
}

static const struct vital *
find(const char *name)
{
        return vitals_find(name, strlen(name));
}

Test(vitals, conversions)
{
        /* Each accepted unit once at least; the results of Pa and hPa to 12 digits. */
        static const struct {
                const char *code, *unit, *value, *ucum;
        } cases[] = {
            {"8867-4", "beat/min", "72", "72"},
            {"8867-4", "1/min", "71.5", "71.5"},
            {"8889-8", "beat/min", "72", "72"},
            {"8889-8", "1/min", "72", "72"},
            {"2708-6", "/", "0.97", "97"},
            {"2708-6", "%", "0.97", "97"},
            {"2708-6", "/100", "97", "97"},
            {"59408-5", "/", "1", "100"},
            {"59408-5", "%", "0.985", "98.5"},
            {"59408-5", "/100", "98.5", "98.5"},
            {"8480-6", "mmHg", "120", "120"},
            {"8480-6", "Pa", "16000", "120.009852135"},
            {"8480-6", "hPa", "160", "120.009852135"},
            {"8462-4", "mmHg", "80", "80"},
            {"8462-4", "Pa", "10665.7909932", "80"},
            {"8462-4", "hPa", "106.657909932", "80"},
            {"8478-0", "mmHg", "93", "93"},
            {"8478-0", "Pa", "13332.2387415", "100"},
            {"8478-0", "hPa", "133.322387415", "100"},
            {"9279-1", "1/min", "16", "16"},
            {"8310-5", "Cel", "36.6", "36.6"},
            {"8310-5", "K", "309.75", "36.6"},
            {"29463-7", "kg", "70.25", "70.25"},
            {"2339-0", "kg/m3", "1", "100"},
            {"2339-0", "mmol/L", "5.5", "99.0858"},
            {"2339-0", "mg/dL", "99", "99"},
        };
        bool used[64][VITALS_UNITS_MAX] = {0};

        cr_assert(vitals_count <= 64);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const struct vital *vital = find(cases[i].code);
                struct decimal ucum;

                cr_assert(vital != NULL, "%s", cases[i].code);
                cr_assert(vitals_convert(&ucum, vital, cases[i].unit, strlen(cases[i].unit),
                              number(cases[i].value)) == 0,
                    "%s in %s", cases[i].code, cases[i].unit);
                if (cases[i].unit[0] == 'P' || cases[i].unit[0] == 'h')
                        cr_assert(decimal_round(&ucum, ucum, 12) == 0);
                cr_expect(decimal_compare(ucum, number(cases[i].ucum)) == 0, "%s: %s %s",
                    cases[i].code, cases[i].value, cases[i].unit);
                for (unsigned u = 0; u < VITALS_UNITS_MAX && vital->units[u].senml != NULL; u++) {
                        if (strcmp(vital->units[u].senml, cases[i].unit) == 0)
                                used[vital - vitals][u] = true;
                }
        }
        for (size_t v = 0; v < vitals_count; v++) {
                for (unsigned u = 0; u < VITALS_UNITS_MAX && vitals[v].units[u].senml != NULL; u++)
                        cr_expect(used[v][u], "%s in %s has no case", vitals[v].loinc,
                            vitals[v].units[u].senml);
        }
}

Test(vitals, unaccepted_units)
{
        struct decimal out = DECIMAL(7, 0);

        cr_expect(vitals_convert(&out, find("8310-5"), "F", 1, number("98")) == -ENOENT);
        cr_expect(vitals_convert(&out, find("8310-5"), "", 0, number("98")) == -ENOENT);
        cr_expect(vitals_convert(&out, find("8310-5"), "Cell", 4, number("98")) == -ENOENT);
        cr_expect(vitals_convert(&out, find("8310-5"), "Ce", 2, number("98")) == -ENOENT);
        cr_expect(
            vitals_convert(&out, find("2339-0"), "kg/m3", 5, DECIMAL(INT64_MAX, 400)) == -ERANGE);
        cr_expect(out.mantissa == 7);
}

Test(vitals, names)
{
        cr_expect(find("8867-4") == &vitals[0]);
        cr_expect(find("urn:dev:ow:10e2073a01080063:8867-4") == &vitals[0]);
        cr_expect(find("urn:dev:ow:10e2073a01080063/8867-4") == &vitals[0]);
        cr_expect(find("a:8867-4/b") == NULL);
        cr_expect(find("a:8867-4:") == NULL);
        cr_expect(find("a-8867-4") == NULL);
        cr_expect(find("a:8867-5") == NULL);
        cr_expect(find("a:8867-44") == NULL);
        cr_expect(find("a:8867-") == NULL);
        cr_expect(find("a:29463-7") != NULL);
        cr_expect(find("a:29463-77") == NULL);
        cr_expect(find("") == NULL);
        for (size_t i = 0; i < vitals_count; i++) {
                cr_expect(find(vitals[i].loinc) == &vitals[i], "%s stands twice", vitals[i].loinc);
                cr_expect(decimal_compare(vitals[i].low, vitals[i].high) < 0);
                cr_expect(vitals[i].mdc >> 16 == 2 && strlen(vitals[i].ucum) > 0);
                cr_expect(vitals[i].units[0].senml != NULL);
        }
}

/* The value beside a bound by the smallest step that a device could send. */
static void
expect_flags(
    const struct vital *vital, const struct vital_unit *unit, struct decimal value, uint16_t want)
{
        char text[256], digits[DECIMAL_TEXT_MAX];

        cr_assert(decimal_print(digits, sizeof(digits), value) > 0);
        sprintf(text, "[{\"bn\":\"urn:dev:x:\",\"n\":\"%s\",\"u\":\"%s\",\"v\":%s}]", vital->loinc,
            unit->senml, digits);
        cr_assert(parse_json(text) == SENML_OK);
        cr_expect(vitals_check(&pack) == want, "%s: flags %x", text, vitals_check(&pack));
        cr_expect(pack.records == 1, "an implausible value stays");
}

Test(vitals, bounds_of_the_plausible_ranges)
{
        for (size_t i = 0; i < vitals_count; i++) {
                const struct vital *vital = &vitals[i];

                for (unsigned u = 0; u < VITALS_UNITS_MAX && vital->units[u].senml != NULL; u++) {
                        const struct vital_unit *unit = &vital->units[u];
                        struct decimal bounds[2] = {vital->low, vital->high};

                        for (int b = 0; b < 2; b++) {
                                struct decimal at, beyond;
                                struct decimal back =
                                    DECIMAL(-unit->offset.mantissa, unit->offset.exponent10);

                                cr_assert(decimal_add(&at, bounds[b], back) == 0);
                                cr_assert(decimal_scale(
                                              &at, at, unit->denominator, unit->numerator) == 0);
                                cr_assert(
                                    decimal_add(&beyond, at, DECIMAL(b == 0 ? -1 : 1, -9)) == 0);
                                if (unit->numerator != 180156)
                                        expect_flags(vital, unit, at, 0);
                                expect_flags(vital, unit, beyond, RECORD_FLAG_IMPLAUSIBLE);
                        }
                }
        }
}

Test(vitals, flags)
{
        static const struct {
                const char *json;
                uint16_t flags;
        } cases[] = {
            {"[{\"n\":\"x:8867-4\",\"u\":\"beat/min\",\"v\":72}]", 0},
            {"[{\"n\":\"x:8867-4\",\"u\":\"beat/min\",\"v\":1e300}]", RECORD_FLAG_IMPLAUSIBLE},
            {"[{\"n\":\"x:8867-4\",\"u\":\"beat/min\",\"v\":-72}]", RECORD_FLAG_IMPLAUSIBLE},
            {"[{\"n\":\"x:2708-6\",\"u\":\"%\",\"v\":97}]", RECORD_FLAG_IMPLAUSIBLE},
            {"[{\"n\":\"x:8480-6\",\"u\":\"Pa\",\"v\":9e400}]", RECORD_FLAG_IMPLAUSIBLE},
            {"[{\"n\":\"x:8867-4\",\"v\":72}]", RECORD_FLAG_UNKNOWN_UNIT},
            {"[{\"n\":\"x:8867-4\",\"u\":\"Hz\",\"v\":1.2}]", RECORD_FLAG_UNKNOWN_UNIT},
            {"[{\"n\":\"x:1234-5\",\"u\":\"beat/min\",\"v\":72}]", RECORD_FLAG_UNKNOWN_CODE},
            {"[{\"n\":\"x:8867-4\",\"u\":\"beat/min\",\"vs\":\"72\"}]", RECORD_FLAG_IMPLAUSIBLE},
            {"[{\"n\":\"x:8867-4\",\"u\":\"beat/min\",\"s\":72}]", RECORD_FLAG_IMPLAUSIBLE},
            {"[{\"bn\":\"x:\",\"n\":\"8867-4\",\"v\":72,\"u\":\"m\"},{\"n\":\"y\",\"v\":1},"
             "{\"n\":\"8310-5\",\"u\":\"K\",\"v\":36.6}]",
                RECORD_FLAG_UNKNOWN_UNIT | RECORD_FLAG_UNKNOWN_CODE | RECORD_FLAG_IMPLAUSIBLE},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                enum senml_error error = parse_json(cases[i].json);

                cr_assert(error == SENML_OK, "%s: %s", cases[i].json, senml_error_text(error));
                cr_expect(vitals_check(&pack) == cases[i].flags, "%s: %x", cases[i].json,
                    vitals_check(&pack));
        }
}
