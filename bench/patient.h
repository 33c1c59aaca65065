/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual patient whose vital signs move together: day rhythm, activity, respiration-coupled
 * oxygenation, fever that drives the heart, meals that drive glucose, artefacts, an occasional
 * crisis. Made for load with believable content, not for medicine. Deterministic by seed. */
#ifndef AORTA_BENCH_PATIENT_H
#define AORTA_BENCH_PATIENT_H

#include <stdbool.h>
#include <stdint.h>

/* What a device can measure: index of struct vitals_sample's values. */
enum sign {
        SIGN_HEART_RATE,  /* 8867-4, beat/min */
        SIGN_SPO2,        /* 2708-6, ratio */
        SIGN_SYSTOLIC,    /* 8480-6, mmHg */
        SIGN_DIASTOLIC,   /* 8462-4, mmHg */
        SIGN_MEAN,        /* 8478-0, mmHg */
        SIGN_RESPIRATION, /* 9279-1, 1/min */
        SIGN_TEMPERATURE, /* 8310-5, Cel */
        SIGN_GLUCOSE,     /* 2339-0, kg/m3 */
        SIGNS,
};

struct sign_info {
        const char *loinc;
        const char *unit; /* SenML */
        int decimals;     /* digits after the point that a device reports, at most 3 */
};
extern const struct sign_info sign_infos[SIGNS];

struct vitals_sample {
        double value[SIGNS]; /* in the units above */
        uint32_t present;    /* bit per sign: an artefact may hide a value */
};

struct patient {
        uint64_t random;
        float heart, systolic, diastolic, breathing, spo2, temperature, glucose; /* baselines */
        float drift[SIGNS];                                                      /* slow noise */
        float phase_h; /* of the day rhythm */
        float crisis;  /* 0 to 1, rises and decays */
        float fever;   /* degrees above baseline */
        bool crisis_rising;
};

void patient_init(struct patient *patient, uint64_t seed);
/* The next sample at Unix time seconds; call with rising times. */
void patient_sample(struct patient *patient, double seconds, struct vitals_sample *sample);

#endif
