/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/patient.h"

#include <math.h>

#define TAU      6.283185307179586
#define DAY_H    24.0
#define CRISIS_1 4e-5 /* chance a sample that a crisis begins */
#define ARTEFACT 4e-3 /* chance a sample that a value is lost or wild */
#define DRIFT    0.97f

const struct sign_info sign_infos[SIGNS] = {
    [SIGN_HEART_RATE] = {"8867-4", "beat/min", 1},
    [SIGN_SPO2] = {"2708-6", "/", 3},
    [SIGN_SYSTOLIC] = {"8480-6", "mmHg", 1},
    [SIGN_DIASTOLIC] = {"8462-4", "mmHg", 1},
    [SIGN_MEAN] = {"8478-0", "mmHg", 1},
    [SIGN_RESPIRATION] = {"9279-1", "1/min", 1},
    [SIGN_TEMPERATURE] = {"8310-5", "Cel", 1},
    [SIGN_GLUCOSE] = {"2339-0", "kg/m3", 2},
};

/* splitmix64: small, seedable, good enough for load. */
static uint64_t
next(struct patient *patient)
{
        uint64_t z = patient->random += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

static double
uniform(struct patient *patient)
{
        return (double)(next(patient) >> 11) * 0x1p-53;
}

/* About normal: the sum of four uniforms has the shape that is needed here. */
static float
noise(struct patient *patient)
{
        double sum = 0;

        for (int i = 0; i < 4; i++)
                sum += uniform(patient);
        return (float)((sum - 2) * 1.7320508);
}

void
patient_init(struct patient *patient, uint64_t seed)
{
        *patient = (struct patient){.random = seed * UINT64_C(0xd1342543de82ef95) + 1};
        patient->heart = 68 + 9 * noise(patient);
        patient->systolic = 122 + 11 * noise(patient);
        patient->diastolic = 76 + 7 * noise(patient);
        patient->breathing = 14 + 1.6f * noise(patient);
        patient->spo2 = 0.972f + 0.008f * noise(patient);
        patient->temperature = 36.7f + 0.25f * noise(patient);
        patient->glucose = 0.98f + 0.1f * noise(patient);
        patient->phase_h = (float)(uniform(patient) * 3 - 1.5);
        if (uniform(patient) < 0.04)
                patient->fever = (float)(uniform(patient) * 2.2);
}

static void
step_crisis(struct patient *patient)
{
        if (patient->crisis_rising) {
                patient->crisis += 0.08f;
                if (patient->crisis >= 1) {
                        patient->crisis = 1;
                        patient->crisis_rising = false;
                }
        } else {
                patient->crisis *= 0.985f;
                if (uniform(patient) < CRISIS_1)
                        patient->crisis_rising = true;
        }
}

/* Two hours' rise and fall after each of three meals. */
static float
meals(double hour)
{
        static const double at[3] = {7.5, 12.5, 19};
        float rise = 0;

        for (int i = 0; i < 3; i++) {
                double since = hour - at[i];

                if (since > 0 && since < 4)
                        rise += (float)(0.55 * since * exp(1 - since / 0.8) / 0.8);
        }
        return rise;
}

static void
add_artefacts(struct patient *patient, struct vitals_sample *sample)
{
        for (int s = 0; s < SIGNS; s++) {
                double dice = uniform(patient);

                if (dice < ARTEFACT / 2)
                        sample->present &= ~(1u << s);
                else if (dice < ARTEFACT)
                        sample->value[s] *= s == SIGN_SPO2 ? 0.55 : s == SIGN_HEART_RATE ? 2 : 1.3;
        }
}

void
patient_sample(struct patient *patient, double seconds, struct vitals_sample *sample)
{
        double hour = fmod(seconds / 3600 + patient->phase_h + DAY_H, DAY_H);
        /* Deepest sleep at four, highest at sixteen. */
        float day = (float)-cos((hour - 4) / DAY_H * TAU), activity, c;

        step_crisis(patient);
        for (int s = 0; s < SIGNS; s++)
                patient->drift[s] = DRIFT * patient->drift[s] + 0.24f * noise(patient);
        c = patient->crisis;
        activity = fmaxf(0, day) * fmaxf(0, patient->drift[SIGN_HEART_RATE]);
        sample->present = (1u << SIGNS) - 1;
        sample->value[SIGN_HEART_RATE] = patient->heart + 6 * day + 14 * activity +
                                         9 * patient->fever + 46 * c +
                                         2 * patient->drift[SIGN_RESPIRATION];
        sample->value[SIGN_RESPIRATION] = patient->breathing + 1.2 * day + 3 * activity +
                                          1.5 * patient->fever + 13 * c +
                                          patient->drift[SIGN_RESPIRATION];
        sample->value[SIGN_SPO2] = fmin(1,
            patient->spo2 - 0.004 * fmaxf(0, -day) - 0.14 * c + 0.004 * patient->drift[SIGN_SPO2]);
        sample->value[SIGN_SYSTOLIC] = patient->systolic + 7 * day + 12 * activity - 34 * c +
                                       4 * patient->drift[SIGN_SYSTOLIC];
        sample->value[SIGN_DIASTOLIC] = patient->diastolic + 4 * day + 3 * activity - 22 * c +
                                        2.5 * patient->drift[SIGN_SYSTOLIC];
        sample->value[SIGN_MEAN] =
            (sample->value[SIGN_SYSTOLIC] + 2 * sample->value[SIGN_DIASTOLIC]) / 3;
        sample->value[SIGN_TEMPERATURE] = patient->temperature + 0.35 * day + patient->fever +
                                          0.3 * c + 0.06 * patient->drift[SIGN_TEMPERATURE];
        sample->value[SIGN_GLUCOSE] =
            patient->glucose + meals(hour) * 0.6 + 0.3 * c + 0.04 * patient->drift[SIGN_GLUCOSE];
        add_artefacts(patient, sample);
}
