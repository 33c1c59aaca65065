/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: virtual patients' signs stay where living people's are, and move together. */
#include "bench/patient.h"
#include "dataplane/senml/vitals.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define PATIENTS 500
#define SAMPLES  200
#define STEP_S   60.0
#define NOON_S   (1800000000.0 - 1800000000 % 86400 + 43200)

static double
number(struct decimal decimal)
{
        return (double)decimal.mantissa * pow(10, decimal.exponent10);
}

/* In the registered unit, by the same table that the gateway judges with. */
static double
in_ucum(enum sign sign, double value)
{
        return sign == SIGN_SPO2 || sign == SIGN_GLUCOSE ? value * 100 : value;
}

Test(patient, every_sign_is_a_known_vital_sign_with_an_accepted_unit)
{
        for (int s = 0; s < SIGNS; s++) {
                const char *loinc = sign_infos[s].loinc;
                const struct vital *vital = vitals_find(loinc, strlen(loinc));
                struct decimal out;

                cr_assert_not_null(vital, "%s", loinc);
                cr_assert_eq(vitals_convert(&out, vital, sign_infos[s].unit,
                                 strlen(sign_infos[s].unit), DECIMAL(1, 0)),
                    0);
        }
}

Test(patient, values_are_plausible_but_for_a_few_artefacts)
{
        unsigned outside = 0, hidden = 0, all = 0;

        for (unsigned p = 0; p < PATIENTS; p++) {
                struct patient patient;
                struct vitals_sample sample;

                patient_init(&patient, p + 1);
                for (unsigned i = 0; i < SAMPLES; i++) {
                        patient_sample(&patient, NOON_S + i * STEP_S, &sample);
                        for (int s = 0; s < SIGNS; s++) {
                                const char *loinc = sign_infos[s].loinc;
                                const struct vital *vital = vitals_find(loinc, strlen(loinc));
                                double value = in_ucum((enum sign)s, sample.value[s]);

                                all++;
                                if (!(sample.present & 1u << s))
                                        hidden++;
                                else if (value < number(vital->low) || value > number(vital->high))
                                        outside++;
                        }
                }
        }
        cr_expect_gt(hidden, 0);
        cr_expect_lt(hidden, all / 100);
        cr_expect_lt(outside, all / 200, "%u of %u", outside, all);
}

Test(patient, a_healthy_resting_patient_has_usual_values)
{
        struct patient patient;
        struct vitals_sample sample;
        double sum[SIGNS] = {0};
        unsigned n[SIGNS] = {0};

        for (unsigned p = 0; p < PATIENTS; p++) {
                patient_init(&patient, p + 1);
                for (unsigned i = 0; i < SAMPLES; i++) {
                        patient_sample(&patient, NOON_S + i * STEP_S, &sample);
                        for (int s = 0; s < SIGNS; s++) {
                                if (!(sample.present & 1u << s))
                                        continue;
                                sum[s] += sample.value[s];
                                n[s]++;
                        }
                }
        }
        static const double low[SIGNS] = {60, 0.94, 110, 65, 80, 12, 36.3, 0.8};
        static const double high[SIGNS] = {95, 0.99, 140, 90, 107, 20, 37.6, 1.8};
        for (int s = 0; s < SIGNS; s++) {
                double mean = sum[s] / n[s];

                cr_expect(mean >= low[s] && mean <= high[s], "%s: %.3f", sign_infos[s].loinc, mean);
        }
}

static void
mean_of(struct patient *patient, double mean[SIGNS])
{
        unsigned n[SIGNS] = {0};
        struct vitals_sample sample;

        memset(mean, 0, SIGNS * sizeof(mean[0]));
        for (unsigned i = 0; i < SAMPLES; i++) {
                struct patient copy = *patient;

                copy.random += i * 7919u;
                patient_sample(&copy, NOON_S, &sample);
                for (int s = 0; s < SIGNS; s++) {
                        if (sample.present & 1u << s) {
                                mean[s] += sample.value[s];
                                n[s]++;
                        }
                }
        }
        for (int s = 0; s < SIGNS; s++)
                mean[s] /= n[s];
}

Test(patient, in_a_crisis_all_signs_move_together)
{
        struct patient patient;
        double before[SIGNS], in[SIGNS];

        for (unsigned p = 1; p < 50; p++) {
                patient_init(&patient, p);
                mean_of(&patient, before);
                patient.crisis = 1;
                mean_of(&patient, in);
                cr_expect_gt(in[SIGN_HEART_RATE], before[SIGN_HEART_RATE] + 25);
                cr_expect_gt(in[SIGN_RESPIRATION], before[SIGN_RESPIRATION] + 7);
                cr_expect_lt(in[SIGN_SPO2], before[SIGN_SPO2] - 0.07);
                cr_expect_lt(in[SIGN_SYSTOLIC], before[SIGN_SYSTOLIC] - 15);
                cr_expect_lt(in[SIGN_MEAN], before[SIGN_MEAN] - 10);
        }
}

Test(patient, a_crisis_comes_and_passes)
{
        struct patient patient;
        struct vitals_sample sample;
        float most = 0;

        patient_init(&patient, 3);
        patient.crisis_rising = true;
        for (unsigned i = 0; i < 400; i++) {
                patient_sample(&patient, NOON_S + i, &sample);
                if (patient.crisis > most)
                        most = patient.crisis;
        }
        cr_expect_eq(most, 1);
        cr_expect_lt(patient.crisis, 0.1);
}

Test(patient, mean_pressure_lies_between_the_other_two)
{
        struct patient patient;
        struct vitals_sample sample;

        for (unsigned p = 1; p <= PATIENTS; p++) {
                const uint32_t all = 1u << SIGN_SYSTOLIC | 1u << SIGN_DIASTOLIC | 1u << SIGN_MEAN;
                unsigned wrong = 0, n = 0;

                patient_init(&patient, p);
                for (unsigned i = 0; i < 50; i++) {
                        patient_sample(&patient, NOON_S + i * STEP_S, &sample);
                        if ((sample.present & all) != all)
                                continue;
                        n++;
                        wrong += sample.value[SIGN_MEAN] >= sample.value[SIGN_SYSTOLIC] ||
                                 sample.value[SIGN_MEAN] <= sample.value[SIGN_DIASTOLIC];
                }
                cr_expect_leq(wrong, n / 10);
        }
}

Test(patient, is_the_same_again_by_seed)
{
        struct patient a, b, c;
        struct vitals_sample from_a, from_b, from_c;

        patient_init(&a, 5);
        patient_init(&b, 5);
        patient_init(&c, 6);
        for (unsigned i = 0; i < 20; i++) {
                patient_sample(&a, NOON_S + i, &from_a);
                patient_sample(&b, NOON_S + i, &from_b);
                patient_sample(&c, NOON_S + i, &from_c);
                cr_assert_arr_eq(from_a.value, from_b.value, sizeof(from_a.value));
        }
        cr_assert_neq(from_a.value[0], from_c.value[0]);
}
